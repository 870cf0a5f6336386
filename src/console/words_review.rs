//! Words of reviews: statements, votes, objections, appeals, and the keys that reviewers sign with.

use super::words::{Lang, words};

impl Lang {
    /// Its words of reviews.
    pub fn reviews(self) -> &'static ReviewWords {
        match self {
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }
}

words! { ReviewWords:
    // How it stands
    stage = "Stage" | "办理阶段";
    by_rule = "The gate decided this by rule; no reviewer was asked." | "由出域关口按规则直接决定，未经人工审核。";
    votes_in = "Votes in" | "已收表决数";
    window_ends = "Objections until" | "异议截止";
    waived = "Will not object" | "已放弃异议单位";
    round = "Round of review" | "审核轮次";
    filed = "Filed" | "提交";
    from_appeal = "After an appeal" | "申诉后重审";
    replied = "Decided" | "裁定";
    outcome = "Outcome" | "裁定结果";
    reply_within = "Reply within" | "答复时限";
    working_days = "working days" | "个工作日";
    extended = "Extended" | "延期";
    said_purpose = "What it is for" | "用途说明";
    said_context = "How it came about, what it shows" | "背景说明";
    said_changes = "What is different from the round before" | "较上一轮的修改";
    votes = "Signed votes" | "签名表决";
    vote_reviewer = "Reviewer" | "审核人";
    vote_decision = "Decision" | "决定";
    vote_reason = "Reason" | "理由";
    vote_key = "Signing key" | "签名密钥";
    appeal = "Appeal" | "申诉";
    appeal_filed = "Filed" | "提出申诉";
    appeal_decided = "Decided" | "申诉裁定";
    appeal_outcome = "Outcome" | "裁定结果";
    appeal_reason = "Why the operator appeals" | "申诉理由";
    appeal_answer = "Why the authority decided so" | "裁定理由";
    // The operator's statement
    statement = "Say what the output is for" | "提交用途说明";
    statement_text = "Two reviewers read it beside the figures; the reply clock starts when you file it." | "两名审核人将结合拟出域数值审阅本说明；提交后开始计算答复时限。";
    statement_again = "Answer the reviewers and file again" | "修改后重新提交";
    statement_hint = "Plain text, up to 2,000 characters. No figures from the data." | "纯文本，不超过2000字，请勿写入数据中的数值。";
    statement_send = "File the request" | "提交出域申请";
    // A vote
    ballot = "Your vote" | "您的表决";
    ballot_first = "Read the review copy first: open it above, and the form to vote stands here." | "请先在上方调阅审核副本，随后在此表决。";
    ballot_hint = "Two reviewers vote, each by signature. What you say is told to nobody before both votes are in; it cannot be changed after." | "由两名审核人分别签名表决。两票齐备前，任何人均看不到您的表决内容；提交后不可更改。";
    ballot_cast = "Your vote is in, sealed. What it says is told to nobody before the other reviewer has voted." | "您的表决已封存。另一名审核人表决前，任何人均看不到其内容。";
    ballot_decision = "Decision" | "决定";
    ballot_reason = "Reason" | "理由";
    approve = "Approve" | "同意出域";
    approve_text = "The output leaves once the other reviewer approves too." | "另一名审核人同意后出域。";
    deny = "Deny" | "不同意出域";
    deny_text = "It does not leave; the operator may appeal once." | "该输出不得出域，运营主体可申诉一次。";
    give_back = "Return for changes" | "退回修改";
    give_back_text = "The operator may change its statement and file again." | "运营主体可修改说明后重新提交。";
    signed_label = "What your key signs" | "签名内容";
    signed_hint = "Six lines, each ended by one line feed: context, output, round, commitment of the artefact, decision, reason." | "共六行，每行以换行符结尾：签名用途、出域编号、轮次、产物承诺值、决定、理由。";
    sign = "Sign and cast the vote" | "签名并提交表决";
    no_key = "No key of yours is confirmed yet. Enrol one under Signing keys and tell the security administrator its fingerprint." | "您尚无已确认的签名密钥。请在“签名密钥”页面登记，并将指纹告知安全管理员。";
    no_key_here = "This browser cannot sign: none of your confirmed keys lies in it, or it has no Ed25519 or no script. Vote from the browser that holds your key, or on the command line with `fusebox release vote`." | "此浏览器无法签名：其中没有您已确认的密钥，或浏览器不支持 Ed25519、已禁用脚本。请使用保存密钥的浏览器表决，或使用命令行 fusebox release vote。";
    own_review = "You may not review what comes from your own organisation." | "不得审核本单位提交的事项。";
    separated = "You approved its module or voted before the appeal, so other reviewers decide." | "您已审核该输出的算法模块或参与申诉前表决，须由其他审核人办理。";
    not_filed = "The operator has not said what the output is for; there is nothing to vote on yet." | "运营主体尚未提交用途说明，暂不能表决。";
    // Providers
    veto = "Object (veto)" | "提出异议(否决)";
    veto_text = "An output that rests on your data does not leave if you object. There is no appeal against it." | "您提出异议后，基于贵单位数据的该输出不得出域，且不可申诉。";
    no_veto = "The agreement gives no objection to this kind of output." | "协议未约定对此种输出的异议权。";
    waive = "Will not object" | "放弃异议";
    waive_text = "When every provider has said so, the output leaves at once." | "全部数源部门放弃异议后，该输出即时出域。";
    waived_own = "Your organisation has said that it will not object." | "贵单位已放弃异议。";
    // The authority, appeals
    extend = "Extend the reply clock" | "延长答复时限";
    extend_text = "Once a round, in your name, with a reason." | "每轮仅可延期一次，须署名并说明理由。";
    appeal_file = "Appeal against the denial" | "对不同意决定提出申诉";
    appeal_text = "Once. The authority upholds the denial or asks two other reviewers." | "仅可申诉一次。数据主管部门维持原决定，或交由另外两名审核人重审。";
    hear = "Decide the appeal" | "裁定申诉";
    hear_text = "You do not release it: you uphold the denial, or two other reviewers vote." | "数据主管部门不直接放行：维持原决定，或由另外两名审核人重新表决。";
    uphold = "Uphold the denial" | "维持不同意决定";
    uphold_text = "It stays where it is, for good." | "该输出不得出域，为最终决定。";
    send_back = "Send it to two other reviewers" | "交由另外两名审核人";
    send_back_text = "A new round opens; those who voted before take no part." | "开启新一轮审核，原审核人回避。";
    reason_hint = "Up to 500 characters; it is recorded in the log." | "不超过500字，记入日志。";
    // Keys
    keys = "Signing keys" | "签名密钥";
    keys_lead_own = "Your votes count under a key of yours that the security administrator has confirmed." | "经安全管理员确认的签名密钥方可用于表决。";
    keys_lead_admin = "A key counts once you have confirmed the fingerprint that its reviewer told you in person." | "经您核对审核人当面告知的指纹后，密钥方可用于表决。";
    keys_lead_all = "Keys with which reviewers sign their votes." | "审核人签名表决所用密钥。";
    keys_caption = "Keys" | "密钥列表";
    keys_none = "No key is enrolled yet. A reviewer enrols one on this page, signed in." | "尚未登记密钥。审核人登录后在本页登记。";
    key = "Key" | "密钥";
    fingerprint = "Fingerprint" | "指纹";
    enrolled_at = "Enrolled" | "登记时间";
    confirmed_at = "Confirmed" | "确认时间";
    revoked_at = "Revoked" | "吊销时间";
    key_waits = "Waits for confirmation" | "待确认";
    key_stands = "Confirmed" | "已确认";
    key_revoked = "Revoked" | "已吊销";
    key_here = "In this browser" | "在此浏览器中";
    key_told = "Shown once confirmed" | "确认后显示";
    tell = "Tell the security administrator this fingerprint in person or by telephone, not through this console. Until it is confirmed the key signs nothing." | "请当面或电话将此指纹告知安全管理员，勿通过本平台传递。确认前该密钥不能用于表决。";
    enrol = "Enrol a key of this browser" | "登记此浏览器的密钥";
    enrol_text = "The browser makes an Ed25519 key that no script can read out, and keeps it for this site. Only the public half is sent. Clearing the site's data deletes it; then enrol another." | "由浏览器生成 Ed25519 密钥，私钥不可导出，仅保存在此浏览器中，只提交公钥。清除网站数据后密钥即丢失，须重新登记。";
    enrol_send = "Make a key and enrol it" | "生成并登记密钥";
    enrol_without = "This browser cannot keep a signing key: it needs scripts, a secure address (https) and Ed25519. On the command line: `fusebox key new FILE`, then `fusebox reviewer key enrol FILE`." | "此浏览器不能保存签名密钥：需启用脚本、使用安全地址(https)并支持 Ed25519。可使用命令行：fusebox key new FILE，再执行 fusebox reviewer key enrol FILE。";
    confirm = "Confirm a key" | "确认密钥";
    confirm_text = "Enter the fingerprint as the reviewer told it to you. It is not shown here, so that two ways must agree." | "请输入审核人告知的指纹。为确保双途径核对，此处不显示该指纹。";
    confirm_hint = "64 hexadecimal digits; spaces do not matter." | "64位十六进制数，空格不影响核对。";
    confirm_none = "No key waits for confirmation." | "没有待确认的密钥。";
    revoke = "Revoke a key" | "吊销密钥";
    revoke_text = "Votes under it that are not counted yet are void. This cannot be undone." | "该密钥下尚未计入的表决作废，吊销后不可恢复。";
}
