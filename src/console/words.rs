//! The console's words, in both languages. A word that lacks one does not compile.

use axum::http::{HeaderMap, header};

use super::session::Cookie;

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lang {
    /// English.
    En,
    /// 简体中文.
    Zh,
}

impl Lang {
    /// Its word in addresses and cookies.
    pub fn word(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
    /// The language of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::En, Self::Zh].into_iter().find(|lang| lang.word() == word)
    }
    /// Its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-Hans",
        }
    }
    /// Its own name.
    pub fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Zh => "中文",
        }
    }
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::En => Self::Zh,
            Self::Zh => Self::En,
        }
    }
    /// Between the parts of a list.
    pub fn separator(self) -> &'static str {
        match self {
            Self::En => ", ",
            Self::Zh => "、",
        }
    }
    /// Its words.
    pub fn words(self) -> &'static Words {
        match self {
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }
    /// What was chosen; else English where the browser asks for English first; else Chinese.
    pub fn of(headers: &HeaderMap, tls: bool) -> Self {
        let chosen = Cookie::Language.read(headers, tls).and_then(|word| Self::parse(&word));
        let asked = || headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.trim().starts_with("en"));
        chosen.unwrap_or_else(|| if asked() { Self::En } else { Self::Zh })
    }
}

macro_rules! words {
    ($name:ident: $($key:ident = $en:literal | $zh:literal;)*) => {
        /// Words in one language.
        pub(super) struct $name { $(#[doc = $en] pub $key: &'static str,)* }
        static EN: $name = $name { $($key: $en,)* };
        static ZH: $name = $name { $($key: $zh,)* };
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str, &str)] = &[$((stringify!($key), $en, $zh)),*];
    };
}
pub(super) use words;

words! { Words:
    // Frame
    product = "fusebox supervision console" | "融合数据沙箱监管控制台";
    skip = "Skip to content" | "跳到正文";
    sign_in = "Sign in" | "登录";
    sign_out = "Sign out" | "退出登录";
    sign_in_lead = "Sign in with the access token that the security administrator issued to you." | "请使用安全管理员签发的访问令牌登录。";
    token = "Access token" | "访问令牌";
    token_hint = "It is kept in the server's memory until you sign out, and never on this machine." | "令牌仅保存在服务器内存中，退出登录即清除，不会保存在本机。";
    token_wrong = "The token is not valid. Ask the security administrator for a new one." | "令牌无效，请向安全管理员申请新令牌。";
    session_over = "Your session has ended. Sign in again." | "会话已结束，请重新登录。";
    signed_out = "You are signed out." | "已退出登录。";
    form_stale = "The form had expired. Try again." | "表单已过期，请重试。";
    navigation = "Main" | "主导航";
    crumbs = "You are here" | "当前位置";
    contents = "On this page" | "本页内容";
    footer = "Screens hold no raw values. Every decision, denials included, is in the transparency log." | "页面不含原始数据。每项决定(含拒绝)均记入透明日志。";
    frozen_banner = "All releases are stopped." | "已暂停全部出域。";
    frozen_banner_more = "Nothing leaves until the data authority lifts the freeze or signs a recovery." | "数据主管部门解除暂停或签署恢复前，任何结果不得出域。";
    refused = "Refused" | "未予办理";
    rule = "Rule" | "规则";
    remedy = "What to do" | "补救办法";
    threshold = "Threshold" | "阈值";
    subject = "Concerning" | "涉及事项";
    clauses = "Clauses" | "依据条款";
    clauses_legend = "Clauses and regulations" | "条款与法规对照";
    clauses_lead = "Articles named on screens, in the log and in refusals. Thresholds are settings of the release policy; no regulation names one." | "页面、日志与拒绝理由所引用的条款。阈值均为出域策略设置，法规未作规定。";
    regulation = "Regulation" | "法规名称";
    sign = "Sign" | "代号";
    in_force_from = "Status" | "施行情况";
    articles_used = "Articles in use" | "引用条款";
    none_yet = "Nothing here yet." | "暂无内容。";
    filter = "Filter" | "筛选";
    all = "All" | "全部";
    search = "Contains" | "包含文字";
    pages = "Pages" | "分页";
    consent_version = "consent version" | "同意记录版本";
    built_in = "Built-in fold" | "内置统计";
    rules_applied = "rules applied" | "项规则已执行";
    leaf = "Leaf" | "日志序号";
    reason = "Reason" | "理由";
    state = "State" | "状态";
    // Places
    overview = "Overview" | "总览";
    releases = "Output review" | "出域审核";
    jobs = "Jobs" | "任务";
    modules = "Modules" | "算法模块";
    papers = "Agreements" | "协议与申请";
    data = "Data catalogue" | "数据目录";
    accounts = "Accounts" | "账户";
    machine = "Machine" | "运行环境";
    freeze = "Freeze" | "暂停出域";
    // Overview
    overview_lead = "Outputs at the gate that you may see." | "您有权查看的出域事项。";
    in_review = "In review" | "待审核";
    released = "Released" | "已出域";
    denied = "Denied by reviewers" | "审核未通过";
    refused_by_rule = "Refused by rule" | "规则拒绝";
    history = "Decisions by day" | "每日处理情况";
    history_none = "No output reached the gate in these days." | "近14日没有到达出域关口的输出。";
    history_text = "Outputs that reached the gate in the last 14 days, by state." | "近14日到达出域关口的输出，按状态统计。";
    day = "Day" | "日期";
    budgets = "Privacy budgets" | "隐私预算";
    budgets_none = "No budget yet: the data authority sets one for a kind of identifier with `fusebox budget set`." | "尚无预算：由数据主管部门使用 fusebox budget set 按标识类别核定。";
    not_set = "not set" | "未核定";
    budgets_text = "Privacy loss that remains, of what the data authority allowed for all operators together." | "数据主管部门核定的全体运营主体共用隐私预算及余量。";
    namespace = "Kind of identifier" | "标识类别";
    budget = "Budget ρ" | "预算 ρ";
    remaining = "Remaining ρ" | "余量 ρ";
    spent = "Spent ρ" | "已用 ρ";
    folds = "Folds" | "查询次数";
    waiting = "Waiting for review" | "待审核事项";
    waiting_none = "No output waits for review." | "没有待审核的出域事项。";
    latest_none = "No output has been decided yet. Once jobs end, what the gate and the reviewers decide stands here." | "尚无已作出决定的出域事项。任务结束后，出域关口和审核人的决定显示在此。";
    latest = "Latest decisions" | "最近决定";
    // Release list: the columns of the supervisors' list, in its order
    col_id = "Release" | "出域编号";
    col_operator = "Operator" | "运营主体";
    col_agreement = "Agreement / until" | "协议编号/到期日";
    col_use_case = "Use case" | "应用场景";
    col_catalogue = "Catalogue entries (provider, level, sharing / opening)" | "涉及目录(数源部门、安全级别、共享/开放属性)";
    col_keys = "Linkage keys" | "融合键";
    col_personal = "Personal information / consent" | "个人信息/同意依据";
    col_module = "Module (version, digest, reviewer)" | "算法模块(版本、摘要、审核人)";
    col_kind = "Form of output" | "输出形式";
    col_checks = "Policy checks" | "策略检查结果";
    col_opinion = "Review" | "审核意见";
    col_clock = "Reply clock" | "时限状态";
    col_recipient = "Recipient" | "接收方";
    col_product = "Product registration" | "产品登记号";
    col_feedback = "Feedback" | "反馈状态";
    col_evidence = "Log record" | "存证校验";
    releases_lead = "Every output that reached the gate; denied requests stand beside approvals." | "到达出域关口的全部输出；被拒绝的申请与获批事项并列显示。";
    releases_caption = "Outputs at the gate" | "出域事项";
    releases_none = "No output matches. Choose All, or search for less." | "没有符合条件的出域事项，请选择“全部”或减少筛选条件。";
    releases_empty = "No output has reached the gate yet. Operators submit jobs under Jobs; what comes of them stands here." | "尚无出域事项。运营主体在“任务”页面提交任务后，其输出显示在此。";
    per_page = "Rows" | "每页行数";
    no_personal = "No personal information" | "不含个人信息";
    personal = "Personal information" | "含个人信息";
    until = "until" | "至";
    ends = "Agreement ends" | "协议到期日";
    // Release detail
    sec_who = "Who asks" | "谁申请";
    sec_basis = "On what basis" | "依据什么";
    sec_fields = "Fields used" | "用了哪些字段";
    sec_code = "Code that ran" | "运行了什么代码";
    sec_rules = "Rules" | "触发哪些规则";
    sec_artefact = "What would leave" | "产物预览";
    sec_approval = "Who approves" | "谁批准";
    sec_recipient = "To whom it goes" | "交给谁";
    sec_after = "Feedback, attribution, disposal" | "是否反馈、注明来源、到期处置";
    sec_evidence = "Record in the log" | "存证";
    applicant = "Submitted by" | "提交人";
    job = "Job" | "任务";
    reached_at = "Reached the gate" | "到达关口时间";
    decided_at = "Decided" | "决定时间";
    agreement = "Agreement" | "利用协议";
    term = "Term" | "有效期";
    purpose = "Purpose" | "用途";
    use_case = "Use case" | "应用场景";
    legal_basis = "Legal basis" | "法律依据";
    scope = "Scope" | "范围";
    method = "Method" | "方式";
    commitments = "Commitments" | "承诺";
    commitments_made = "true, compliant, secure" | "真实、合规、安全";
    authorisation = "Authorisation" | "授权";
    application = "Application" | "申请";
    doors = "Forms of output agreed" | "约定输出形式";
    recipients = "Recipients agreed" | "约定接收方";
    plan = "Fusion plan" | "融合方案";
    unit = "Privacy unit" | "隐私单元";
    dataset = "Dataset" | "数据集";
    provider = "Provider" | "数源部门";
    level = "Security level" | "安全级别";
    sharing = "Sharing" | "共享属性";
    opening = "Opening" | "开放属性";
    version = "Version" | "版本";
    columns = "Columns granted" | "授权字段";
    columns_asked = "Columns asked for" | "申请字段";
    columns_all = "Columns" | "字段";
    joins = "Joined on" | "关联字段";
    transform = "Transform" | "处理方式";
    transforms = "How each field is handed over" | "字段处理";
    field = "Field" | "字段";
    source_column = "Source" | "来源字段";
    module = "Module" | "算法模块";
    digest = "Digest" | "摘要";
    author = "Author" | "作者单位";
    capabilities = "Capabilities granted" | "获准能力";
    reviewer = "Reviewer" | "审核人";
    engine = "Engine" | "引擎摘要";
    outcome = "Outcome" | "检查结果";
    clause = "Clause" | "条款";
    refusal_of_gate = "The gate refused it" | "出域关口拒绝";
    artefact_open = "Open the review copy" | "调阅审核副本";
    artefact_trace = "The review copy holds the figures that would leave and the evidence behind them. Opening it is recorded in the log." | "审核副本包含拟出域数值及其依据。每次调阅均记入日志。";
    artefact_not_yet = "Nothing is shown before the gate has released it." | "出域关口放行前不显示任何内容。";
    artefact_never = "It did not leave; there is nothing to show." | "该输出未出域，无可显示内容。";
    suppressed = "suppressed" | "已抑制";
    cells_shown = "Cells shown" | "显示单元";
    cells_suppressed = "Cells suppressed" | "抑制单元";
    cells_chart = "Cells shown and suppressed" | "显示与抑制单元格";
    total = "Total" | "合计";
    missing = "(missing)" | "(缺失)";
    feature = "Feature" | "特征";
    coefficient = "Coefficient" | "系数";
    intercept = "Intercept" | "截距";
    tree = "Tree" | "树";
    node = "Node" | "节点";
    children = "Where it holds, and elsewhere" | "满足 · 不满足";
    base = "Base" | "基准值";
    layer = "Layer" | "层";
    output_n = "Output" | "输出";
    activation = "Activation" | "激活函数";
    weights = "Weights" | "权重";
    bias = "Bias" | "偏置";
    coefficients_chart = "Coefficients of the model" | "模型系数";
    link_function = "Link" | "联系函数";
    digits = "Significant digits" | "有效数字";
    evidence_cells = "Evidence by cell (reviewers only)" | "逐单元依据(仅审核人可见)";
    rows_n = "Rows" | "行数";
    units_n = "Units" | "单元数";
    units_counting = "Units counting" | "计入单元数";
    fate = "Fate" | "处理结果";
    causes = "Causes" | "原因";
    figures_more = "Further evidence" | "其他依据";
    evidence_levels = "Units of each level that the model reads" | "模型各类别单元数";
    members = "What fusing did with each member" | "各数据集融合情况";
    member = "Member" | "成员";
    rows_read = "Rows read" | "读取行数";
    rows_consented = "After consent" | "同意筛选后";
    rows_filtered = "After filters" | "条件筛选后";
    rows_matched = "Base rows matched" | "匹配基准行数";
    name = "Name" | "名称";
    value = "Value" | "数值";
    influence_chart = "Influence of one unit in the probe, largest first" | "单个单元探测影响(由大到小)";
    probe = "Probe: the module run again without single units" | "单元探测：逐一去除单元后重新运行";
    evidence = "Evidence (reviewers only)" | "审核依据(仅审核人可见)";
    probe_random = "Left out, drawn at random" | "随机抽取并去除的单元数";
    probe_extreme = "Left out besides, extreme ones" | "另行去除的极端单元数";
    probe_chance = "Chance that a single hidden unit was drawn" | "单一隐藏单元被抽中的概率";
    probe_repeated = "Run again with every unit" | "全部单元重新运行";
    probe_cut = "The probe was cut short" | "探测提前结束";
    probe_failed = "Runs that did not finish" | "未完成的运行";
    probe_parameters = "What single units move, in steps of the last digit released" | "单个单元对参数的影响(以末位出域数字为单位)";
    probe_median = "Median" | "中位数";
    probe_largest = "Largest" | "最大值";
    probe_hidden = "Could hide without a finding" | "不触发发现的最大变动";
    recipient = "Recipient" | "接收方";
    recipient_named = "Named in the agreement" | "协议已列明";
    attribution = "Source attribution" | "注明来源";
    feedback = "Usage feedback" | "使用情况反馈";
    disposal = "Disposal at the end" | "到期处置";
    safeguards = "Safeguards" | "安全保障措施";
    responsibility = "The provider's responsibility stays; the agreement cannot be passed on." | "数源部门责任不变，协议不得转委托。";
    decision_leaf = "Leaf of the decision" | "决定日志序号";
    release_leaf = "Leaf of the release" | "出域日志序号";
    commitment = "Commitment of the artefact" | "产物承诺值";
    decide = "Decide" | "作出决定";
    decision = "Decision" | "决定";
    approve = "Approve" | "通过";
    deny = "Deny" | "不通过";
    bundle = "Download the bundle" | "下载存证包";
    bundle_about = "One file with the output, its decision, votes, agreement and proofs. On any machine, without this server, it is checked by" | "单一文件，含产物、决定、表决、协议与证明；可脱离本服务器在任意计算机上核验：";
    own_review = "You may not review what comes from your own organisation." | "不得审核本单位提交的事项。";
    // Jobs
    jobs_lead = "Jobs that you may see, newest first." | "您有权查看的任务，最新在前。";
    jobs_caption = "Jobs" | "任务列表";
    jobs_none = "No job has been submitted yet." | "尚未提交任务。";
    job_needs = "A job needs a fusion plan and a module: on the command line, `fusebox plan submit FILE` and `fusebox module upload FILE --key KEY`." | "提交任务须先有融合方案和算法模块，可使用命令行：fusebox plan submit FILE、fusebox module upload FILE --key KEY。";
    only_real = "on real data" | "仅真实数据";
    more = "more" | "项，查看全部";
    submitted_at = "Submitted" | "提交时间";
    synthetic = "Synthetic data" | "合成数据";
    real = "Real data" | "真实数据";
    runs_on = "Runs on" | "运行数据";
    phase_live = "The phase is brought up to date as it changes." | "阶段变化时自动更新。";
    phases = "Phases" | "进度";
    results = "Outputs" | "输出结果";
    results_none = "No output shows yet. The end of a job shows on the policy's time quantum." | "暂无可见输出。任务结束时间按策略时间片显示。";
    failure = "What stopped it" | "终止原因";
    module_log = "Module's log (synthetic data)" | "模块日志(合成数据)";
    synthetic_result = "Result on synthetic data" | "合成数据结果";
    on_real_data = "Not judged on synthetic data, may be refused on real data" | "合成数据上未作判断，真实数据上可能不予放行";
    cancel = "Cancel the job" | "取消任务";
    new_job = "Submit a job" | "提交任务";
    new_job_text = "A refusal names rule, clause, threshold and remedy." | "如不予受理，将说明规则、条款、阈值和补救办法。";
    rows_unit = "rows" | "行";
    results_synthetic = "Nothing of synthetic data reaches the gate; what came of it stands below." | "合成数据任务不产生出域事项，结果见下。";
    results_never = "The job ended without an output." | "任务已结束，未产生输出。";
    rows_synthetic = "Rows of synthetic data" | "合成数据行数";
    report = "Exact figures of the fusion" | "融合准确数据";
    // Modules
    modules_lead = "Code that operators uploaded: what it may do, who read it." | "运营主体上传的代码：获准能力与审核情况。";
    modules_caption = "Modules" | "模块列表";
    modules_none = "No module yet. Operators and researchers upload one with `fusebox module upload FILE --key KEY`." | "尚无算法模块。运营主体和研究人员使用 fusebox module upload FILE --key KEY 上传。";
    uploaded_at = "Uploaded" | "上传时间";
    review_module = "Review the module" | "审核模块";
    // Papers
    papers_lead = "Agreements and applications that you may see." | "您有权查看的协议与申请。";
    agreements_caption = "Agreements" | "利用协议";
    applications_caption = "Applications" | "数据申请";
    unsigned = "Not yet counter-signed by" | "待会签单位";
    signed_by = "Signed by" | "会签人";
    signatures = "Counter-signatures" | "会签情况";
    agreements_none = "No agreement yet. An operator makes one once its application was granted: `fusebox agreement draft FILE`." | "尚无利用协议。申请获同意后，由运营主体使用 fusebox agreement draft FILE 订立。";
    applications_none = "No application yet. An operator files one with `fusebox application submit FILE`; providers answer it here." | "尚无数据申请。运营主体使用 fusebox application submit FILE 提交，数源部门在此答复。";
    when = "When" | "时间";
    countersign = "Counter-sign" | "会签";
    countersign_text = "You sign the terms of this digest. They never change." | "您会签的是该摘要对应的条款，条款不可更改。";
    in_force = "In force" | "生效中";
    not_in_force = "Not in force" | "未生效";
    terminated = "Terminated" | "已终止";
    expired = "Expired" | "已到期";
    waiting_for = "Waits for" | "待答复单位";
    grant = "Grant" | "同意";
    refuse = "Refuse" | "拒绝";
    basis = "Basis" | "依据";
    decide_application = "Decide the application" | "答复申请";
    refusal_needs = "A refusal needs a reason and a legal basis." | "拒绝须说明理由和依据。";
    jobs_max = "Jobs allowed" | "任务次数上限";
    // Data
    data_lead = "Datasets of the catalogue, with classes and imported versions. No values." | "目录数据集、属性与导入版本，不含任何数值。";
    data_caption = "Catalogue" | "目录条目";
    data_none = "No dataset is registered yet. A provider registers one with `fusebox dataset register FILE`." | "尚无登记的数据集。数源部门使用 fusebox dataset register FILE 登记。";
    title = "Title" | "名称";
    origin = "Origin" | "数据来源";
    updated = "Update" | "更新频率";
    rows_imported = "Rows imported" | "导入行数";
    stale = "Overdue" | "更新超期";
    up_to_date = "Up to date" | "正常";
    own_data = "Your organisation's data" | "本单位数据";
    other_data = "Data of others" | "其他单位数据";
    uses = "Uses" | "使用情况";
    uses_text = "Outputs that rest on this dataset." | "基于该数据集的出域事项。";
    column = "Column" | "字段";
    column_role = "Role" | "字段角色";
    column_type = "Type" | "类型";
    source = "Source" | "来源系统";
    versions = "Imported versions" | "导入版本";
    imported_at = "Imported" | "导入时间";
    rejected = "Rejected" | "拒收行数";
    // Accounts, machine, freeze
    accounts_lead = "Who may sign in: one organisation and one role each." | "可登录账户：每个账户仅属一个单位、一种角色。";
    accounts_caption = "Accounts" | "账户列表";
    account = "Account" | "账户";
    organisation = "Organisation" | "单位";
    role = "Role" | "角色";
    active = "Active" | "有效";
    closed = "Closed" | "已注销";
    machine_lead = "The server, and the jail of its workers." | "服务器及工作进程隔离状态。";
    log_key = "Public key of the log" | "日志公钥";
    log_size = "Leaves in the log" | "日志条数";
    status = "Status" | "状态";
    writes_refused = "Writes are refused until a restart" | "重启前拒绝写入";
    running = "Running" | "运行正常";
    jail = "Jail by role" | "进程隔离(按角色)";
    layers = "Layers in force" | "生效层";
    layers_missing = "Layers missing (waived)" | "缺失层(已豁免)";
    system_calls = "System calls allowed" | "允许系统调用数";
    limits = "Limits" | "限制";
    freeze_lead = "One action stops releases at once; those on their way are held." | "一键暂停出域，正在处理的事项一并暂停。";
    freeze_set = "Stop releases" | "暂停出域";
    freeze_lift = "Lift" | "解除暂停";
    freeze_scope = "Organisation (empty: all releases)" | "单位(留空为全部)";
    freeze_dataset = "Dataset (empty: not one dataset only)" | "数据集(留空为不限)";
    freeze_scope_own = "Stops releases with your organisation's data." | "暂停使用本单位数据的出域。";
    freeze_lift_text = "Lifts every freeze that you may lift." | "解除您有权解除的全部暂停。";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_in_both_languages() {
        let han = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for (key, en, zh) in ALL.iter().chain(crate::console::words_watch::ALL).chain(crate::console::words_review::ALL) {
            assert!(!en.trim().is_empty() && en.is_ascii() || en.contains('ρ'), "{key}: {en}");
            assert!(han(zh), "{key}: {zh}");
        }
    }

    #[test]
    fn the_language_is_the_chosen_one_else_the_browsers() {
        let of = |cookie: &str, asked: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            headers.insert(header::ACCEPT_LANGUAGE, asked.parse().unwrap());
            Lang::of(&headers, false).word()
        };
        assert_eq!(of("fusebox-language=zh", "en"), "zh");
        assert_eq!(of("fusebox-language=en", "zh"), "en");
        assert_eq!(of("fusebox-language=xx", "en-GB,zh"), "en");
        assert_eq!(of("x=y", "zh-CN,en"), "zh");
    }
}
