//! Words of the pages for those who supervise: alerts, orders, figures, the log; and of what waits for whoever looks.

use super::words::{Lang, words};

impl Lang {
    /// Its words of supervision.
    pub fn watch(self) -> &'static WatchWords {
        match self {
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }
}

words! { WatchWords:
    // Places
    alerts = "Alerts" | "监管告警";
    orders = "Rectification" | "责令整改";
    indicators = "Indicators" | "监管指标";
    log = "Release log" | "存证日志";
    // Alerts
    alerts_lead = "What a rule says needs someone's attention. An alert stands as long as its cause does; an acknowledgement is a leaf of the log." | "规则提示需要关注的事项。原因消除前告警持续有效；每次确认均记入日志。";
    watched = "What is watched" | "监管告警清单";
    watched_text = "In the order of the supervision checklist. Thresholds are settings; no regulation names one." | "按监管清单顺序排列。阈值均为系统设置，法规未作规定。";
    alert = "Alert" | "告警";
    severity = "Severity" | "等级";
    raised_when = "Raised when" | "触发条件";
    standing = "Standing" | "当前告警";
    no_alert = "No alert stands." | "当前无告警。";
    clear = "none" | "无";
    unseen = "not acknowledged" | "未确认";
    seen_by = "Acknowledged" | "确认情况";
    about = "Concerning" | "涉及事项";
    found = "Found" | "实际值";
    acknowledge = "Acknowledge" | "确认告警";
    acknowledge_which = "Alert" | "告警事项";
    acknowledge_note = "What was done about it" | "处理说明";
    acknowledge_hint = "Your name, the note and the alert become a leaf. One whose cause grows stands again." | "您的账户、说明和告警将记入日志；原因加重时将重新告警。";
    acknowledged = "Acknowledged" | "已确认";
    // Orders
    orders_lead = "Orders to put something right by a day, and what came of them." | "责令整改事项、期限与办结情况。";
    orders_caption = "Orders" | "整改事项";
    orders_none = "No order has been issued." | "尚未签发整改令。";
    frozen_now = "Standing now" | "当前暂停";
    frozen_none = "Releases are not stopped." | "当前未暂停出域。";
    frozen_scope = "What is stopped" | "暂停范围";
    frozen_id = "Freeze" | "暂停事项";
    order = "No." | "编号";
    order_text = "What is to be put right" | "整改要求";
    order_due = "Last day" | "整改期限";
    order_issued = "Issued" | "签发";
    order_outcome = "What came of it" | "整改结果";
    order_to = "Organisation" | "责任单位";
    order_issue = "Issue an order" | "签发整改令";
    order_issue_text = "The organisation sees it here; one past its day raises an alert." | "责任单位可在本页查看；逾期将触发告警。";
    order_close = "Close an order" | "办结整改令";
    order_close_text = "When what it asked for was found done." | "经核实已完成整改后办结。";
    order_which = "Order" | "整改令";
    // Indicators
    indicators_lead = "What left, what stayed and why, and whether replies came in time." | "出域、未出域及原因，以及答复是否及时。";
    period = "Days" | "统计天数";
    by_operator = "Outputs by operator" | "按运营主体统计";
    by_operator_text = "Released by form; held now; refused by a rule or denied by reviewers." | "按形式统计已出域数量；当前待审核；规则拒绝或审核未通过。";
    stayed = "Stayed" | "未出域";
    operators_none = "No output reached the gate in this period." | "统计期内没有到达出域关口的输出。";
    denials_none = "No call was denied in this period." | "统计期内没有被拒绝的调用。";
    denials = "Denials by rule" | "按规则统计的拒绝";
    denials_text = "Calls that a rule denied; each is a leaf." | "被规则拒绝的调用；每次均记入日志。";
    count = "Count" | "次数";
    replies = "Replies of providers" | "数源部门答复";
    in_time = "In time" | "按时";
    late = "Late" | "逾期";
    endings = "Agreements ended" | "到期或终止协议";
    disposed = "Disposed of, with certificate" | "已处置并有证明";
    log_checked = "Last check of the log" | "最近日志校验";
    check_export = "Check of the log, report" | "日志校验与报告";
    sound = "sound" | "无异常";
    never = "not yet" | "尚未执行";
    export = "For a report as a file:" | "导出监管报告：";
    // Log
    log_lead = "Every event, denials included: a public header of fixed size and a salted commitment. The body shows to those it concerns." | "全部事件(含拒绝)：定长公开头部与加盐承诺值；正文仅向相关方显示。";
    log_caption = "Leaves, newest first" | "日志条目(最新在前)";
    log_none = "No leaf of this kind." | "没有该类条目。";
    leaf_number = "Number" | "序号";
    leaf_kind = "Kind" | "类别";
    leaf_kind_all = "All kinds" | "全部类别";
    leaf_time = "Time quantum" | "时间片";
    leaf_commitment = "Commitment" | "承诺值";
    leaf_body = "Body" | "正文";
    leaf_open = "Open to you" | "可查阅";
    leaf_closed = "Not shown to you" | "不向您显示";
    leaf_body_text = "What the leaf commits to, with its salt." | "该条目所承诺的正文及盐值。";
    leaf_body_closed = "The body shows to the organisations it concerns, the data authority and auditors." | "正文仅向相关单位、数据主管部门和审计员显示。";
    leaf_bytes = "Published bytes" | "公开字节";
    salt = "Salt" | "盐值";
    older = "Older" | "较旧";
    newest = "Newest" | "最新";
    leaf_next = "Next leaf" | "后一条";
    leaf_before = "Leaf before" | "前一条";
    more_leaves = "More of the log" | "更多条目";
    // Verification in the page
    verify = "Verify that it stands in the log" | "核验存证";
    verify_text = "Computed by this browser from what the log publishes, with its own SHA-256, HMAC and Ed25519. The script comes from this server all the same: whoever doubts the server verifies a copy with the command below." | "由本机浏览器依据日志公开内容自行计算(SHA-256、HMAC、Ed25519)。脚本仍由本服务器提供；如对服务器存疑，请用下方命令在其他计算机上核验。";
    verify_key = "Public key of the log that you were given" | "您另行获得的日志公钥";
    verify_key_hint = "Paste the key you keep from elsewhere. Left empty, the key that this server names is used: then compare its fingerprint." | "请粘贴您另行保存的公钥。留空则使用本服务器所示公钥，请自行比对指纹。";
    verify_now = "Verify" | "核验";
    verify_noscript = "Without a script this page cannot compute anything: verify a copy of the log with the command below." | "浏览器未启用脚本，本页无法计算；请用下方命令核验日志副本。";
    verify_command = "On any machine, without this page:" | "也可脱离本页在任意计算机上核验：";
    verdict_good = "The leaf stands in the log that your key signed." | "核验通过：该条目存在于您所持公钥签名的日志中。";
    verdict_named = "The leaf stands in the log that this server's key signed. Compare the fingerprint below with the one you were given." | "核验通过：该条目存在于本服务器公钥签名的日志中。请将下方指纹与您另行获得的指纹比对。";
    verdict_bad = "This does not verify. Keep a copy of this page and of the log, and tell the data authority." | "核验不通过。请留存本页和日志副本，并报告数据主管部门。";
    verdict_unable = "This browser cannot verify (it needs HTTPS and Ed25519). Use the command below." | "本浏览器无法核验(需要 HTTPS 与 Ed25519 支持)，请使用下方命令。";
    step_good = "holds" | "相符";
    step_bad = "does not hold" | "不符";
    step_not = "not checked" | "未核验";
    step_leaf = "The leaf" | "条目";
    step_leaf_about = "What the log publishes at this number is what this page shows." | "日志在该序号公开的内容与本页一致。";
    step_body = "The body" | "正文";
    step_body_about = "HMAC-SHA-256 of the body under its salt is the commitment in the leaf." | "以盐值计算的正文 HMAC-SHA-256 等于条目中的承诺值。";
    step_hash = "Hash of the leaf" | "条目哈希";
    step_hash_about = "SHA-256 of 0x00 and the 56 bytes." | "0x00 与 56 字节的 SHA-256。";
    step_path = "The path" | "路径";
    step_path_about = "Each step hashes with the node beside it, up to a root (RFC 9162, 2.1.3.2)." | "逐级与相邻节点合并计算哈希，直至根(RFC 9162 第 2.1.3.2 节)。";
    step_root = "The root" | "根";
    step_root_about = "The root that was computed is the one in the checkpoint: origin, size, root." | "计算所得根等于检查点中的根(标识、规模、根)。";
    step_key = "The key" | "公钥";
    step_key_about = "Its form and identifier hold. Its fingerprint is SHA-256 of the 32 bytes." | "公钥格式与标识正确。指纹为 32 字节公钥的 SHA-256。";
    step_signature = "The signature" | "签名";
    step_signature_about = "The checkpoint is signed by this key (Ed25519)." | "检查点由该公钥签名(Ed25519)。";
    path_left = "left" | "左";
    path_right = "right" | "右";
    figures = "Figures" | "统计数据";
    // What waits for whoever looks
    todo = "Waits for you" | "待您办理";
    todo_none = "Nothing waits for you." | "暂无待办事项。";
    todo_what = "What" | "事项";
    todo_do = "What to do" | "待办";
    todo_since = "When" | "时间";
    todo_from = "since" | "自";
    todo_until = "until" | "期限";
    todo_application = "Answer the application" | "答复数据申请";
    todo_countersign = "Counter-sign the agreement" | "会签协议";
    todo_veto = "Object within the days agreed, or let it go" | "在约定期限内提出异议或放行";
    todo_statement = "Say what the output is for" | "说明输出用途";
    todo_returned = "Change and file again" | "修改后重新提交";
    todo_vote = "Review and vote" | "审核并表决";
    todo_module = "Review the module" | "审核算法模块";
    todo_appeal = "Decide the appeal" | "处理申诉";
    todo_order = "Put right what was ordered" | "完成整改";
    uses_own = "Uses of your organisation's data" | "本单位数据使用情况";
    uses_own_text = "Outputs that rest on your data, approved and denied beside each other." | "基于本单位数据的出域事项，获批与被拒并列显示。";
    uses_all = "All outputs" | "查看全部出域事项";
}
