//! The closed list of alerts. Thresholds are settings of this product; no regulation names any.

use serde::Serialize;

/// How soon someone has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Now.
    Urgent,
    /// Today.
    Serious,
    /// When there is time.
    Notice,
}

/// Every severity, the most urgent first.
pub const SEVERITIES: &[Severity] = &[Severity::Urgent, Severity::Serious, Severity::Notice];

/// One alert of the list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct AlertRule {
    /// Stable identifier.
    pub id: &'static str,
    /// Articles it answers to.
    pub clauses: &'static [&'static str],
    /// How soon someone has to look.
    pub severity: Severity,
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
    /// When it is raised, in English.
    pub when_en: &'static str,
    /// When it is raised, in Chinese.
    pub when_zh: &'static str,
    /// What to do, in English.
    pub remedy_en: &'static str,
    /// What to do, in Chinese.
    pub remedy_zh: &'static str,
}

macro_rules! alerts {
    ($($name:ident = $id:literal $severity:ident [$($clause:literal),*] $en:literal | $zh:literal: $wen:literal | $wzh:literal, $ren:literal | $rzh:literal;)*) => {
        $(#[doc = $en] pub static $name: AlertRule = AlertRule {
            id: $id, clauses: &[$($clause),*], severity: Severity::$severity, en: $en, zh: $zh, when_en: $wen, when_zh: $wzh,
            remedy_en: $ren, remedy_zh: $rzh,
        };)*
        /// Every alert, in the order in which a supervisor looks for them (出域审核与监管: 告警).
        pub static ALERTS: &[&AlertRule] = &[$(&$name),*];
    };
}

/// Days before the end of an agreement at which it is said.
pub const EXPIRING_DAYS: i64 = 30;
/// Modules of one operator with the same declaration in a week.
pub const SIMILAR_MODULES: u64 = 5;
/// Calls of an organisation that were denied in a week, at which it is said; with as many outputs, the share refused in percent.
pub const DENIALS_A_WEEK: u64 = 50;
/// Least number of outputs in a week of which a share is told.
pub const OUTPUTS_MIN: u64 = 10;
/// Refused or denied share of them, in percent.
pub const REFUSED_PERCENT: u64 = 50;

/// Share of the policy's answers a day, in percent, from which the questions of an operator are said to be frequent.
pub const ANSWERS_PERCENT: u64 = 80;
/// Days for which a day of frequent questions is told.
pub const ANSWERS_DAYS: i64 = 7;

alerts! {
    OVERDUE_REPLY = "reply.overdue" Serious ["X26", "C16", "C18", "H13"] "reply overdue" | "超期未答复":
        "an application or a release request is not decided by the last working day for it" | "数据申请或出域申请超过答复期限仍未决定",
        "remind whoever has to decide; a release request can be extended once" | "催办答复单位或审核人；出域申请可延期一次";
    EXPIRING = "agreement.expiring" Notice ["C19", "X20"] "agreement ends within 30 days" | "协议30日内到期":
        "an agreement in force ends within 30 days" | "有效协议将在30日内到期",
        "have the parties sign a new agreement, or prepare the disposal" | "督促续签新协议，或准备到期处置";
    UNDISPOSED = "agreement.undisposed" Urgent ["X20", "C19"] "ended but not disposed of" | "期满未处置":
        "an agreement has ended and no disposal certificate stands" | "协议已终止或到期，尚无处置证明",
        "see that the disposal runs to its certificate; the machine page tells whether the server may write" | "督促完成处置并出具证明；在运行环境页核对服务器状态";
    SELF_REVIEW = "review.self" Serious ["X31", "S8"] "attempt to review one's own" | "自审自批":
        "someone tried to review what comes from their own organisation, in the last 30 days" | "30日内有人试图审核本单位事项",
        "ask the organisation for an account; the denials are in the log" | "要求该单位说明情况；拒绝记录可在日志中调阅";
    DIFFERENCING = "audit.differencing" Serious ["X30", "C26", "Q41"] "differencing" | "差分查询":
        "the audit held or refused an operator's table because a difference with released tables tells of too few, or its holds are used up"
        | "运营主体的统计表与已出域表相减会暴露过小群体而被暂扣或拒绝，或暂扣次数已用尽",
        "compare the held tables with those released on the same identifiers; order a rectification or stop releases where it is meant"
        | "将暂扣表与同一标识下已出域表比对；确属有意的，责令整改或暂停出域";
    FREQUENT = "verification.frequent" Serious ["H13", "Q38", "X31"] "verification at high frequency" | "核验高频":
        "an operator asked 80 percent or more of the answers that the policy allows in a day, in the last 7 days"
        | "7日内某日核验次数达到策略单日上限的80%及以上",
        "compare the questions with the consents and the purpose; lower the limit or stop releases" | "核对提问与同意、用途是否相符；必要时调低上限或暂停出域";
    SIMILAR = "module.similar" Notice ["X30", "S15"] "similar modules again and again" | "相似模块反复提交":
        "an operator uploaded 5 or more modules with the same declaration in a week" | "一周内同一主体提交5个及以上声明相同的模块",
        "let a checker compare the modules before another is approved" | "由审核人比对各模块后再行审核";
    REFUSAL_RATE = "refusal.rate" Notice ["X57", "X31"] "unusual rate of refusals" | "拒绝率异常":
        "half of 10 or more outputs were refused, or 50 calls denied, in a week" | "一周内10个以上输出过半被拒，或50次调用被拒绝",
        "read which rules refused; talk to the operator, or order a rectification" | "查看触发的规则；约谈运营主体或责令整改";
    RECTIFICATION = "rectification.overdue" Urgent ["X63", "C33", "C63"] "rectification overdue" | "整改逾期":
        "an order to put something right is past its day" | "整改令超过期限未办结",
        "close the order if it is done; else stop the organisation's releases" | "已整改的予以办结；未整改的暂停该单位出域";
    WITNESS = "log.witness" Urgent ["X31", "S8"] "the witness contradicts the log" | "见证方与日志矛盾":
        "the witness cosigned another history of the log, or more leaves than it has" | "见证方联署过的历史与日志不一致，或联署的条目多于现有条目",
        "compare the log with the witness's checkpoint; put the newer database back, or have the recovery signed and the witness begin anew"
        | "将日志与见证方检查点比对；换回较新数据库，或签署恢复后由见证方重新开始";
    LOG_CHECK = "log.check" Urgent ["X31", "S8"] "the log does not verify" | "日志校验失败":
        "the last check of the published log found a fault" | "最近一次日志校验发现问题",
        "stop releases, keep a copy of the log, and verify it with a checkpoint that was kept elsewhere" | "暂停出域、留存日志副本，并用异地留存的检查点复核";
    ROLLED_BACK = "log.rolled_back" Urgent ["X57", "C36", "X31", "S8"] "the database is behind its log" | "数据库落后于日志":
        "a start found the database behind a checkpoint that is remembered of its log; nothing is accepted and nothing leaves until a newer one is put back or a recovery is signed"
        | "启动时发现数据库落后于留存的日志检查点；在换回较新数据库或签署恢复前，不受理、不出域",
        "put the newer database back, or have the recovery signed; then let every party know what was undone"
        | "换回较新数据库，或签署恢复；并告知各方被撤回的事项";
    REBASE = "recovery.rebase" Serious ["X57", "C36"] "tables wait since a recovery" | "恢复后统计表待人工审核":
        "after a recovery of the log, tables on a kind of identifier wait for reviewers until the authority re-bases it"
        | "日志恢复后，该类标识的统计表须人工审核，直至主管部门重新确认基线",
        "have operators hand in copies of what left in the lost span, then re-base the kind of identifier"
        | "收集运营主体在丢失期间已出域表的副本，核对后重新确认基线";
    FROZEN = "release.frozen" Serious ["X57", "C36"] "releases are stopped" | "出域暂停中":
        "a freeze stands" | "有未解除的出域暂停",
        "find out whether its reason still stands, and lift it when it does not" | "核实暂停原因，原因消除后予以解除";
}
