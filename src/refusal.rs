//! A refusal teaches: it names rule, clause, threshold and remedy, in Chinese and English, and repeats no value.

use serde::Serialize;

/// Why something was refused, in words that hold nothing about the data.
///
/// `rule` is one of the closed list in [`RULES`]; text comes from there. `threshold` is a policy setting (public), `subject`
/// is a name the caller itself gave (a column, an import, a dataset id), never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    rule: &'static Rule,
    threshold: Option<String>,
    subject: Option<String>,
}

/// One rule of the closed list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Stable identifier, for example `agreement.expired`.
    pub id: &'static str,
    /// Articles it answers to, for example `C19`.
    pub clauses: &'static [&'static str],
    /// What happened, in English.
    pub en: &'static str,
    /// What happened, in Chinese.
    pub zh: &'static str,
    /// What to do, in English.
    pub remedy_en: &'static str,
    /// What to do, in Chinese.
    pub remedy_zh: &'static str,
}

impl Refused {
    /// A refusal under `rule`.
    pub fn new(rule: &'static Rule) -> Self {
        Self { rule, threshold: None, subject: None }
    }
    /// Adds the policy threshold that was not met, with its unit.
    #[must_use]
    pub fn threshold(mut self, text: impl Into<String>) -> Self {
        self.threshold = Some(text.into());
        self
    }
    /// Adds the name, given by the caller itself, that the refusal is about. Cut to 120 characters, controls removed.
    #[must_use]
    pub fn subject(mut self, name: &str) -> Self {
        self.subject = Some(name.chars().filter(|c| !c.is_control()).take(120).collect());
        self
    }
    /// The rule.
    pub fn rule(&self) -> &'static Rule {
        self.rule
    }
    /// The threshold, where there is one.
    pub fn threshold_text(&self) -> Option<&str> {
        self.threshold.as_deref()
    }
    /// The caller's own name for what was refused.
    pub fn subject_text(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule.id, self.rule.en)?;
        if let Some(s) = &self.subject {
            write!(f, " (`{s}`)")?;
        }
        if let Some(t) = &self.threshold {
            write!(f, "; threshold: {t}")?;
        }
        write!(f, "; remedy: {}", self.rule.remedy_en)
    }
}

impl std::error::Error for Refused {}

macro_rules! rules {
    ($($name:ident = $id:literal [$($clause:literal),*] $en:literal | $zh:literal => $ren:literal | $rzh:literal;)*) => {
        $(#[doc = $en] pub static $name: Rule = Rule { id: $id, clauses: &[$($clause),*], en: $en, zh: $zh, remedy_en: $ren, remedy_zh: $rzh };)*
        /// Every rule that can refuse.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

// One line a rule: NAME = "id" ["clause", …] "english" | "中文" => "remedy" | "补救";
rules! {
    UNAUTHENTICATED = "auth.unauthenticated" ["C18", "C35", "Q41"] "the call carries no valid token" | "请求未携带有效令牌" => "sign in again or ask the security administrator for a new token" | "请重新登录或向安全管理员申请新令牌";
    FORBIDDEN = "auth.role" ["X31", "S8"] "this role may not do this" | "该角色无权执行此操作" => "ask someone whose role covers it" | "请由具备相应权限的角色办理";
    MALFORMED = "request.malformed" ["X30"] "the request is not of the documented form" | "请求格式不符合接口说明" => "compare it with the interface description at /openapi.json" | "请对照 /openapi.json 接口说明修改";
    TOO_LARGE = "request.too_large" ["X30"] "the request is larger than allowed" | "请求超过大小上限" => "send less than the threshold" | "请将请求缩小至上限以内";
    NOT_FOUND = "request.not_found" ["S8"] "there is no such thing, or it is not yours to see" | "对象不存在或无权查看" => "check the identifier" | "请核对编号";
    CONFLICT = "request.conflict" ["S8"] "it stands in a state that does not allow this" | "当前状态不允许此操作" => "read its present state first" | "请先查询当前状态";
}
