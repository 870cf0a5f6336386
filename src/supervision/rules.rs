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
}

macro_rules! alerts {
    ($($name:ident = $id:literal $severity:ident [$($clause:literal),*] $en:literal | $zh:literal: $wen:literal | $wzh:literal;)*) => {
        $(#[doc = $en] pub static $name: AlertRule = AlertRule {
            id: $id, clauses: &[$($clause),*], severity: Severity::$severity, en: $en, zh: $zh, when_en: $wen, when_zh: $wzh,
        };)*
        /// Every alert, in the order in which a supervisor looks for them.
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

alerts! {
    OVERDUE_REPLY = "reply.overdue" Serious ["X26", "C16", "C18", "H13"] "reply overdue" | "超期未答复":
        "an application is not decided by the last working day for it" | "申请超过答复期限仍未决定";
    EXPIRING = "agreement.expiring" Notice ["C19", "X20"] "agreement ends within 30 days" | "协议30日内到期":
        "an agreement in force ends within 30 days" | "有效协议将在30日内到期";
    UNDISPOSED = "agreement.undisposed" Urgent ["X20", "C19"] "ended but not disposed of" | "期满未处置":
        "an agreement has ended and no disposal certificate stands" | "协议已终止或到期，尚无处置证明";
    SELF_REVIEW = "review.self" Serious ["X31", "S8"] "attempt to review one's own" | "自审自批":
        "someone tried to review what comes from their own organisation, in the last 30 days" | "30日内有人试图审核本单位事项";
    SIMILAR = "module.similar" Notice ["X30", "S15"] "similar modules again and again" | "相似模块反复提交":
        "an operator uploaded 5 or more modules with the same declaration in a week" | "一周内同一主体提交5个及以上声明相同的模块";
    REFUSAL_RATE = "refusal.rate" Notice ["X57", "X31"] "unusual rate of refusals" | "拒绝率异常":
        "half of 10 or more outputs were refused, or 50 calls denied, in a week" | "一周内10个以上输出过半被拒，或50次调用被拒绝";
    RECTIFICATION = "rectification.overdue" Urgent ["X63", "C33", "C63"] "rectification overdue" | "整改逾期":
        "an order to put something right is past its day" | "整改令超过期限未办结";
    ROLLED_BACK = "log.rolled_back" Urgent ["X57", "C36", "X31", "S8"] "the database is behind its log" | "数据库落后于日志":
        "a start found the database behind a checkpoint that is remembered of its log; nothing is accepted and nothing leaves until a newer one is put back or a recovery is signed" | "启动时发现数据库落后于留存的日志检查点；在换回较新数据库或签署恢复前，不受理、不出域";
    FROZEN = "release.frozen" Serious ["X57", "C36"] "releases are stopped" | "出域暂停中":
        "a freeze stands" | "有未解除的出域暂停";
    LOG_CHECK = "log.check" Urgent ["X31", "S8"] "the log does not verify" | "日志校验失败":
        "the last check of the published log found a fault" | "最近一次日志校验发现问题";
}
