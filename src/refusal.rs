//! A refusal teaches: it names rule, clause, threshold and remedy, in Chinese and English, and repeats no value.

use serde::Serialize;

/// Why something was refused, in words that hold nothing about the data.
///
/// `rule` is one of the closed list in [`RULES`]; text comes from there. `threshold` is a policy setting (public), `subject`
/// is a name the caller itself gave (a column, an import, a dataset id), never a value.
///
/// As JSON it is one flat object, the same wherever it is told, stored or logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    rule: &'static Rule,
    threshold: Option<String>,
    subject: Option<String>,
}

/// One rule of the closed list.
#[derive(Debug, PartialEq, Eq)]
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
    /// Adds the name, given by the caller itself, that the refusal is about. Cut to 400 characters, controls removed.
    #[must_use]
    pub fn subject(mut self, name: &str) -> Self {
        self.subject = Some(name.chars().filter(|c| !c.is_control()).take(400).collect());
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

impl Serialize for Refused {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let rule = self.rule;
        let mut object = s.serialize_struct("Refused", 8)?;
        object.serialize_field("rule", rule.id)?;
        object.serialize_field("clauses", rule.clauses)?;
        object.serialize_field("threshold", &self.threshold)?;
        object.serialize_field("subject", &self.subject)?;
        for (name, text) in [("en", rule.en), ("zh", rule.zh), ("remedy_en", rule.remedy_en), ("remedy_zh", rule.remedy_zh)] {
            object.serialize_field(name, text)?;
        }
        object.end()
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
    OWN_REVIEW = "auth.own_review" ["X31", "S8"] "nobody reviews what comes from their own organisation" | "不得审核本单位提交的事项" => "ask a checker of another organisation" | "请由其他单位的审核人办理";
    MALFORMED = "request.malformed" ["X30"] "the request is not of the documented form" | "请求格式不符合接口说明" => "compare it with the interface description at /openapi.json" | "请对照 /openapi.json 接口说明修改";
    TOO_LARGE = "request.too_large" ["X30"] "the request is larger than allowed" | "请求超过大小上限" => "send less than the threshold" | "请将请求缩小至上限以内";
    NOT_FOUND = "request.not_found" ["S8"] "there is no such thing, or it is not yours to see" | "对象不存在或无权查看" => "check the identifier" | "请核对编号";
    CONFLICT = "request.conflict" ["S8"] "it stands in a state that does not allow this" | "当前状态不允许此操作" => "read its present state first" | "请先查询当前状态";
    BUSY = "request.busy" ["X30"] "more is under way than allowed" | "并发任务已达上限" => "wait until one of your jobs has ended" | "请等待已有任务结束后重试";
    OVERLOADED = "request.overloaded" ["X30"] "the memory for sandbox workers is in use" | "沙箱工作进程内存已占满" => "send it again after the seconds that the answer's `Retry-After` names" | "请在应答 Retry-After 所示秒数后重新提交";
    FORM = "request.form" ["C18", "C35", "Q41"] "the form was not made for this session" | "表单不属于当前会话" => "load the page again, then send the form once more" | "请重新打开页面后再提交";
    AUTHORISATION_MISSING = "authorisation.missing" ["X31", "S15", "C21"] "the operator has no authorisation" | "运营主体未获授权" => "ask the data authority for an authorisation" | "请向数据主管部门申请授权";
    AUTHORISATION_EXPIRED = "authorisation.expired" ["X31", "S15"] "the operator's authorisation is not in its term" | "授权不在有效期内" => "ask the data authority to renew it" | "请向数据主管部门申请续期";
    AUTHORISATION_REVOKED = "authorisation.revoked" ["X31", "S15"] "the operator's authorisation was revoked" | "授权已被撤销" => "ask the data authority" | "请联系数据主管部门";
    AUTHORISATION_SCOPE = "authorisation.scope" ["X31", "S15", "H18"] "a dataset lies outside the authorised scope" | "数据集超出授权范围" => "leave it out or ask for a wider authorisation" | "请移除该数据集或申请扩大授权范围";
    APPLICATION_INCOMPLETE = "application.incomplete" ["X27", "S14", "C16"] "the application lacks an element" | "申请要素不完整" => "add the element named" | "请补充所列要素";
    APPLICATION_COMMITMENTS = "application.commitments" ["X27", "C16"] "the three commitments (true, compliant, secure) must all be made" | "须同时作出真实、合规、安全三项承诺" => "make all three commitments" | "请作出全部三项承诺";
    APPLICATION_UNDECIDED = "application.undecided" ["X26", "C16"] "a provider has not decided the application" | "数源部门尚未答复申请" => "wait for the provider named" | "请等待所列数源部门答复";
    APPLICATION_REFUSED = "application.refused" ["X26", "C16"] "a provider refused the application" | "数源部门已拒绝申请" => "read the provider's reason and apply anew" | "请查阅书面理由后重新申请";
    APPLICATION_REASON = "application.reason" ["X26", "C16"] "a refusal needs a reason and a legal basis" | "拒绝须说明理由和依据" => "state both" | "请补充理由和依据";
    AGREEMENT_MISSING = "agreement.missing" ["C19"] "there is no agreement for this" | "缺少利用协议" => "conclude an agreement with every provider" | "请与各数源部门签订利用协议";
    AGREEMENT_INCOMPLETE = "agreement.incomplete" ["C19"] "the agreement lacks an element" | "协议要素不完整" => "add the element named" | "请补充所列要素";
    AGREEMENT_NOT_BEGUN = "agreement.not_begun" ["C19"] "the agreement's term has not begun" | "协议尚未生效" => "wait for its first day" | "请等待协议生效";
    AGREEMENT_EXPIRED = "agreement.expired" ["C19", "X20"] "the agreement has expired" | "协议已到期" => "conclude a new agreement" | "请重新签订协议";
    AGREEMENT_TERMINATED = "agreement.terminated" ["C19", "X20"] "the agreement was terminated" | "协议已终止" => "conclude a new agreement" | "请重新签订协议";
    AGREEMENT_COUNTERSIGNATURE = "agreement.countersignature" ["C19"] "a provider has not counter-signed" | "数源部门尚未会签" => "ask the provider named to counter-sign" | "请所列数源部门会签";
    AGREEMENT_PURPOSE = "agreement.purpose" ["X20", "S13", "C16"] "the purpose is not one of the agreement's" | "用途不在协议约定范围内" => "use an agreed purpose or amend the agreement" | "请使用约定用途或变更协议";
    AGREEMENT_RECIPIENT = "agreement.recipient" ["X27", "S14", "C20"] "the recipient is not named in the agreement" | "接收方未在协议中列明" => "name the recipient in the agreement" | "请在协议中列明接收方";
    AGREEMENT_DOOR = "agreement.door" ["C19", "Q35"] "the agreement does not open this door" | "协议未约定此种输出形式" => "ask for a kind of output that was agreed" | "请选择已约定的输出形式";
    AGREEMENT_COLUMN = "agreement.column" ["X27", "S14", "H13"] "a column was not granted" | "字段未获授权" => "leave the column out or apply for it" | "请移除该字段或另行申请";
    AGREEMENT_PLAN = "agreement.plan" ["C19"] "the plan is not the one agreed" | "融合方案与协议不一致" => "submit the agreed plan or amend the agreement" | "请提交约定方案或变更协议";
    AGREEMENT_BUDGET = "agreement.budget" ["C19"] "the agreement's number of jobs is used up" | "协议约定的任务次数已用尽" => "amend the agreement" | "请变更协议";
    AGREEMENT_OPERATOR = "agreement.operator" ["X20", "C34", "C35", "Q47"] "the agreement is another operator's and cannot be passed on" | "协议属其他运营主体，不得转委托" => "conclude an agreement of your own" | "请以本单位名义签订协议";
    POLICY_MISSING = "policy.missing" ["X30", "Q41"] "no release policy is set, so nothing may leave" | "未设置出域策略，不得出域" => "ask the data authority to set one" | "请联系数据主管部门设置策略";
    POLICY_DOOR = "policy.door" ["X30", "Q35", "Q41"] "the release policy does not open this door" | "出域策略未开放此种输出形式" => "ask for another kind of output" | "请改用其他输出形式";
    POLICY_WEAKER = "policy.weaker" ["X14", "X30"] "a provider may only tighten the release policy" | "数源部门仅可收紧出域策略" => "leave every field at least as strict as the floor" | "请使各项不低于最低策略";
    DATASET_INCOMPLETE = "dataset.incomplete" ["X16", "S10", "Q9"] "the catalogue entry lacks an element" | "目录条目要素不完整" => "add every element named" | "请补充所列要素";
    DATASET_INVALID = "dataset.invalid" ["X16", "S10", "Q9"] "the catalogue entry is not of the documented form" | "目录条目不符合格式" => "mend the element named" | "请修正所列要素";
    DATASET_LEGAL_BASIS = "dataset.legal_basis" ["X26", "S13", "C15"] "a class of `none` needs its legal basis" | "不予共享或开放须注明法律依据" => "state the legal basis" | "请注明法律依据";
    DATASET_PUBLIC_BY_OPERATOR = "dataset.public_by_operator" ["X15", "S9", "Q8"] "a public dataset enters through a registered provider only" | "公共数据须由数源部门登记" => "register it as non-public or ask the provider" | "请登记为非公共数据或由数源部门登记";
    DATASET_SHARING_NONE = "dataset.sharing_none" ["X26", "S13", "H13"] "a dataset that is not shared cannot be an input" | "不予共享的数据不得作为任务输入" => "leave it out; check it by a verification job that its provider approved" | "请移除该数据；可经数源部门批准以核验方式使用";
    DATASET_CORE = "dataset.core" ["X59", "C36"] "core data cannot be an input" | "核心数据不得作为任务输入" => "leave the dataset out" | "请移除该数据集";
    DATASET_NO_VERSION = "dataset.no_version" ["X16"] "the dataset holds no imported version" | "数据集尚无已导入版本" => "import it first" | "请先导入数据";
    DATASET_NO_CONSENT = "dataset.no_consent" ["X34", "X55", "S20"] "a member with personal information has no consent table" | "含个人信息的成员缺少同意记录" => "import the consent table" | "请先导入同意记录";
    IMPORT_REJECTED = "import.rejected" ["X23", "Q15"] "the upload was refused" | "导入被拒绝" => "mend what is named and import again" | "请修正所列问题后重新导入";
    PLAN_INVALID = "plan.invalid" ["X30"] "the fusion plan is not of the documented form" | "融合方案不符合格式" => "mend the element named" | "请修正所列要素";
    PLAN_DIRECT_IDENTIFIER = "plan.direct_identifier" ["C17", "X55"] "a direct identifier cannot be granted as it is" | "直接标识字段不得原样提供" => "use the transform `pseudonym` or `mask`" | "请使用假名化或屏蔽处理";
    PLAN_SENSITIVE_FILTER = "plan.sensitive_filter" ["C17", "Q41"] "a filter on a sensitive column would be a question about it" | "不得按敏感字段筛选" => "make it a key of the table instead" | "请改为分组字段";
    PLAN_TRANSFORM = "plan.transform" ["C17", "Q41"] "the transform does not apply to the column" | "变换不适用于该字段" => "choose a transform for its type" | "请选择适用的变换";
    PLAN_PRIVATE = "plan.private" ["X55", "Q41", "C26"] "the plan does not qualify for the private door: one unit's rows could change another's" | "融合方案不符合隐私通道要求：某一隐私单元的记录可能影响其他单元" => "join the member named on the privacy unit, or have its provider declare it unit_free" | "请按隐私单元关联所列成员，或由提供方声明其不含个体(unit_free)";
    PLAN_UNIT = "plan.unit" ["X55", "Q41"] "the privacy unit is not a linkage identifier of a member" | "隐私单元不是成员的标识字段" => "name a linkage identifier" | "请指定标识字段";
    MODULE_SIGNATURE = "module.signature" ["X30", "S15"] "the signature is not one of the operator's keys over this digest" | "签名与运营主体密钥或摘要不符" => "sign the digest with a registered key" | "请使用已登记密钥对摘要签名";
    MODULE_DIGEST = "module.digest" ["X30", "S15"] "the module's bytes are not those of the digest" | "模块内容与摘要不符" => "upload the bytes that were signed" | "请上传与签名一致的内容";
    MODULE_INVALID = "module.invalid" ["X30"] "the module is not valid for the sandbox" | "模块不符合沙箱要求" => "build it with the guest SDK" | "请使用 SDK 构建";
    MODULE_IMPORT = "module.import" ["X30", "S15"] "the module imports what the world does not offer" | "模块导入了未提供的能力" => "remove the import named" | "请移除所列导入";
    MODULE_LIMIT = "module.limit" ["X30"] "the module exceeds a limit" | "模块超过限制" => "make it smaller than the threshold" | "请缩减至上限以内";
    MODULE_UNREVIEWED = "module.unreviewed" ["X30", "S15", "X31"] "an unapproved module runs on synthetic data only" | "未经审核的模块仅可在合成数据上运行" => "ask a checker to review the module" | "请由审核人审核模块";
    MODULE_DENIED = "module.denied" ["X30", "X31"] "a checker denied the module" | "模块审核未通过" => "read the reason and upload a mended module" | "请查阅理由并重新上传";
    TABLE_REQUEST = "table.request" ["X30", "Q41"] "the table request is not valid" | "统计表请求无效" => "ask for granted or derived columns within the limits" | "请在授权字段与限制内提出请求";
    TABLE_CELLS = "table.cells" ["Q41", "C26"] "the table has more cells than allowed" | "统计表单元格数超过上限" => "use coarser keys" | "请使用更粗的分组";
    TABLE_MINIMUM_UNITS = "table.minimum_units" ["Q41", "C26", "X55"] "too few units stand behind the table" | "统计表涉及的单元数不足" => "use coarser keys or more data" | "请使用更粗的分组或更多数据";
    TABLE_ALL_SUPPRESSED = "table.all_suppressed" ["Q41", "C26", "X55"] "no cell can be shown: each has too few units, is dominated by a few, or would give away another" | "没有可展示的单元格：单元数不足、由个别单元主导，或会使其他单元格被反推" => "use coarser keys, or ask for fewer tables in one job" | "请使用更粗的分组，或减少同一任务中的统计表";
    TABLE_DERIVED_KEY = "table.derived_key" ["X30", "C26"] "a number that the module derived is no key: its values would be labels of its choosing" | "模块派生的数值不能作为分组字段：其取值会成为模块自选的标签" => "derive a category with declared labels" | "请派生声明了标签的类别字段";
    TABLE_DERIVED_MEASURE = "table.derived_measure" ["X30", "C26"] "a figure over a number that the module derived waits for a reviewer" | "模块派生数值的统计量须经审核" => "measure a granted column, or wait for the review" | "请使用授权字段，或等待审核";
    TABLE_OWN_MEASURE = "table.own_measure" ["Q41", "C26", "X55"] "a figure over the operator's own column tells how many units of a cell have each of its values: no cell has enough units of every value" | "对运营主体自有字段的统计量会揭示单元格内各取值的单元数：没有单元格的各取值均有足够单元" => "bring own figures as few values that many units share, use coarser keys, or measure another party's column" | "请将自有数值归并为由较多单元共有的少量取值，使用更粗的分组，或统计他方字段";
    TABLE_UNCODED = "table.uncoded" ["Q41"] "a minimum or maximum needs a column that is bottom- or top-coded" | "最小值或最大值须使用已作首尾编码的字段" => "clamp the column in the plan" | "请在方案中作首尾编码";
    TABLE_ORDER_MARGIN = "table.order_margin" ["Q41", "C26"] "smallest, largest and ranked values have no margins, and of one column only one set of keys in a job" | "最小值、最大值和分位数不得带合计，同一字段在一个任务中仅可按一组分组字段统计" => "ask for them in a table without margins, once a column" | "请在不含合计的统计表中请求，每个字段一次";
    TABLE_ATTACKER_BOUND = "table.attacker_bound" ["Q41", "C26", "X55"] "the tables have more cells, or more suppressed ones, than can be checked against an attacker" | "统计表单元格或隐藏单元格过多，无法验证能否被反推" => "use coarser keys" | "请使用更粗的分组";
    TABLE_ATTACKER = "table.attacker" ["Q41", "C26", "X55"] "no set of suppressed cells keeps the others from telling one of them" | "无法通过隐藏单元格防止被反推" => "use coarser keys or leave the margins out" | "请使用更粗的分组或不带合计";
    MODEL_CAPACITY = "model.capacity" ["Q35", "C26"] "the model holds more numbers than allowed" | "模型参数数量超过上限" => "use fewer features, nodes or units of a layer" | "请减少特征、节点或神经元";
    MODEL_INVALID = "model.invalid" ["Q35"] "the model is not one of the typed forms" | "模型不符合类型化格式" => "hand in a linear model, trees or a network over granted columns" | "请提交基于授权字段的线性模型、树模型或神经网络";
    MODEL_RANGE = "model.range" ["Q35", "C26"] "a parameter of the model is too large" | "模型参数超出范围" => "scale the columns in the module, and keep parameters below the threshold" | "请在模块中缩放字段，使参数低于上限";
    MODEL_RATIO = "model.ratio" ["Q35", "X55"] "the model has more parameters than so many units may carry" | "模型参数相对单元数过多" => "use fewer parameters or more data" | "请减少参数或使用更多数据";
    MODEL_GROUP = "model.group" ["Q41", "C26", "X55"] "too few units stand behind a leaf or a level of the model" | "模型的叶节点或类别水平涉及的单元数不足" => "use fewer splits, or merge levels in a derived column" | "请减少划分，或在派生字段中合并类别";
    MODEL_UNITS = "model.units" ["Q35", "X55"] "too few units stand behind the model" | "模型涉及的单元数不足" => "use more data" | "请使用更多数据";
    AUDIT_HOLDS = "audit.holds" ["Q41", "C26", "X55"] "so many outputs were held or refused for reasons that depend on the data that every further one waits" | "因数据原因被暂缓或拒绝的结果过多，后续结果一律待审" => "say what it is for and wait for the review, or wait until earlier ones are older than the window" | "请提交用途说明并等待审核，或等待此前记录超出统计期限";
    OUTPUT_UNTYPED = "output.untyped" ["Q35", "Q38"] "only tables, typed models and verification answers leave" | "仅统计表、类型化模型和核验结果可出域" => "ask for a table or hand in a typed model" | "请改用统计表或类型化模型";
    OUTPUT_NONE = "output.none" ["X30"] "the module asked for nothing" | "模块未请求任何输出" => "ask for a table or hand in a model" | "请在模块中请求输出";
    RUN_FAILED = "run.failed" ["X30"] "the run did not finish" | "运行未完成" => "try the module on synthetic data, where its errors are shown" | "请先在合成数据上调试，可查看错误信息";
    RELEASE_HELD = "release.held" ["X31", "Q41"] "the output waits for a checker" | "输出待人工审核" => "wait for the review" | "请等待审核";
    RELEASE_MEANWHILE = "release.meanwhile" ["Q41", "C26", "X55"] "beside what was released while it waited the table may not leave" | "结合其待审期间已出域的结果，该统计表不得出域" => "submit the job again: it is judged anew beside all that was released" | "请重新提交任务，将结合全部已出域结果重新审核";
    RELEASE_DENIED = "release.denied" ["X31", "Q41"] "a checker denied the release" | "出域审核未通过" => "read the reason code" | "请查阅理由代码";
    REVIEW_REASON = "review.reason" ["X31", "X26"] "a review needs a reason of the closed list" | "审核须选择规定理由" => "choose one of the reasons named" | "请选择所列理由之一";
    REVIEW_STATEMENT = "review.statement" ["X27", "C16"] "the statement of purpose and context lacks an element" | "用途及背景说明要素不完整" => "write every element named as plain text within the threshold" | "请以纯文本补充所列要素，且不超过字数上限";
    REVIEW_NOT_FILED = "review.not_filed" ["X27", "X31"] "the operator has not said what the output is for" | "运营主体尚未提交用途说明" => "wait until the operator has filed its statement" | "请等待运营主体提交用途说明";
    REVIEW_SEPARATION = "review.separation" ["X31", "S8"] "whoever approved the module, or voted before the appeal, does not review the output" | "模块审核人及申诉前的审核人不得审核该输出" => "ask another checker" | "请由其他审核人办理";
    REVIEW_NO_DUTY = "review.no_duty" ["X31", "S8"] "no vote of yours on this output is wanted, so there is no review copy" | "您对该输出没有待办审核，不提供审核副本" => "read what was decided" | "请查阅裁定";
    REVIEW_KEY = "review.key" ["X31", "C35"] "no confirmed key of yours is enrolled" | "您没有已确认的审核签名密钥" => "enrol a key and tell the security administrator its fingerprint" | "请登记密钥并将指纹告知安全管理员";
    REVIEW_FINGERPRINT = "review.fingerprint" ["X31", "C35"] "the fingerprint is not the key's" | "指纹与密钥不符" => "ask the reviewer for it on another way than this one" | "请通过其他途径向审核人核对指纹";
    REVIEW_SIGNATURE = "review.signature" ["X31", "C35"] "the signature is not one of your keys over this output, round, decision and reason" | "签名与您的密钥或本输出、轮次、决定、理由不符" => "read the output anew and sign what stands there" | "请重新查阅该输出并对当前内容签名";
    RELEASE_UNWITNESSED = "release.unwitnessed" ["X31", "S8"] "the witness has not cosigned a log that holds this release yet" | "见证方尚未对包含本次出域的日志检查点联署" => "try again in some seconds; if it lasts, ask the administrator to look at the witness" | "请稍后重试；如持续出现，请联系管理员检查见证服务";
    RELEASE_PENDING = "release.pending" ["X31", "C19"] "it was approved, and its providers may still object" | "已批准，数源部门异议期未满" => "wait for the end of the window, or ask the providers to waive it" | "请等待异议期届满或请数源部门放弃异议";
    RELEASE_NO_VETO = "release.no_veto" ["C19"] "the agreement gives no objection to this kind of output" | "协议未约定对此种输出的异议权" => "amend the agreement" | "请变更协议";
    PRIVACY_INVALID = "privacy.invalid" ["X30", "Q41"] "a parameter of the fold is out of range" | "差分隐私计算参数超出范围" => "mend the parameter named" | "请修正所列参数";
    PRIVACY_MECHANISM = "privacy.mechanism" ["Q41"] "the noise does not suit the norm of the bound" | "噪声类型与贡献界的范数不匹配" => "use `gaussian`, or bound contributions in the L1 or largest-value norm" | "请改用 gaussian 噪声，或以 L1 或最大值范数约束贡献";
    PRIVACY_UNREACHABLE = "privacy.unreachable" ["Q41"] "no privacy loss or number of blocks meets the target error" | "任何隐私损失或分块数均无法达到目标误差" => "state a larger target error" | "请放宽目标误差";
    PRIVACY_NO_BUDGET = "privacy.no_budget" ["X30", "X55", "Q41"] "no privacy budget is set" | "未设置隐私预算" => "ask the data authority to set one for this kind of identifier, and agree on one in the agreement" | "请联系数据主管部门为此类标识设置隐私预算，并在协议中约定";
    PRIVACY_BUDGET = "privacy.budget" ["X30", "X55", "Q41"] "the privacy budget does not cover the fold" | "隐私预算余量不足" => "ask for a smaller privacy loss than what remains; a budget is never refilled by itself" | "请在余量内申请更小的隐私损失；预算不会自动恢复";
    PRIVACY_JOB_MAX = "privacy.job_max" ["X30", "Q41"] "one fold may not spend so much" | "单次计算的隐私损失超过上限" => "ask for a smaller privacy loss" | "请申请更小的隐私损失";
    ISSUER_OPERATOR = "issuer.operator" ["H13", "X34", "S8"] "an operator cannot sign its subjects' consent" | "运营主体不得作为同意凭证签发方" => "have an organisation sign that operates nothing, registered by a provider or the authority" | "请由非运营主体的机构签发，并由数源部门或主管部门登记";
    TOKEN_ISSUER = "token.issuer" ["H13", "X34"] "the consent token's issuer is not registered" | "同意凭证的签发方未登记" => "use a token of a registered issuer" | "请使用已登记签发方的凭证";
    TOKEN_ISSUER_REVOKED = "token.issuer_revoked" ["H13", "X34"] "the consent token's issuer is revoked or out of its time" | "同意凭证的签发方已撤销或不在有效期内" => "ask the subject for a token of an issuer in force" | "请由有效的签发方重新签发凭证";
    TOKEN_SIGNATURE = "token.signature" ["H13", "X34"] "the consent token does not bear its issuer's signature" | "同意凭证签名无效" => "send the token as it was signed" | "请提交未经改动的凭证";
    TOKEN_BINDING = "token.binding" ["H13", "X34", "S20"] "the consent token is for another question" | "同意凭证与所提问题不符" => "ask the subject for a token that names this operator, agreement, purpose and module" | "请取得指明本运营主体、协议、用途和模块的凭证";
    TOKEN_EXPIRED = "token.expired" ["H13", "X34"] "the consent token has expired" | "同意凭证已过期" => "ask the subject for a new token" | "请重新取得凭证";
    TOKEN_REPLAYED = "token.replayed" ["H13", "X34"] "the consent token was used before" | "同意凭证已使用" => "ask the subject for a new token: each is good for one question" | "请重新取得凭证，每份凭证仅可使用一次";
    VERIFICATION_BITS = "verification.bits" ["H13", "Q35", "X55"] "what may be answered about a subject under the agreement is used up" | "该协议下对同一主体的核验信息量已达上限" => "conclude an agreement of its own for a further purpose" | "如有其他用途请另行签订协议";
    VERIFICATION_RATE = "verification.rate" ["H13", "Q35"] "more answers were asked for today than allowed" | "当日核验次数已达上限" => "ask again tomorrow" | "请次日再试";
    VERIFICATION_MODULE = "verification.module" ["Q35", "H13"] "the module does not answer a closed question over this plan" | "模块不是适用于该方案的核验模块" => "use a module of the world `verify` whose columns the plan grants" | "请使用 verify 接口且字段已获授权的核验模块";
    PLAN_VERIFICATION = "plan.verification" ["H13", "Q35"] "the plan serves the verification door alone" | "该融合方案仅限核验使用" => "ask one question with `/v1/verifications`, or submit a plan for jobs" | "请通过核验接口使用，或另行提交作业方案";
    LOG_ROLLED_BACK = "log.rolled_back" ["X57", "C36", "X31", "S8"] "the database is behind what is remembered of its log, so budgets may have come back with an older copy: nothing is accepted and nothing leaves" | "数据库落后于留存的日志检查点，可能由旧副本恢复致使预算回退：暂停受理和出域" => "put the newer database back and start the server again, or ask the data authority to sign a recovery" | "请换回较新的数据库并重新启动，或请数据主管部门签署恢复";
    RECOVERY_OTHER = "recovery.other" ["X57", "C36"] "the statement is about another finding than the one that stands" | "恢复声明与当前发现的情况不符" => "read what was found, and sign for that" | "请先查询当前情况，再据此签署";
    FROZEN = "release.frozen" ["X57", "C36"] "releases are frozen" | "出域已暂停" => "ask the data authority" | "请联系数据主管部门";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_names_clause_and_remedy_in_both_languages_once() {
        let mut seen = std::collections::BTreeSet::new();
        for r in RULES {
            assert!(seen.insert(r.id), "{} stands twice", r.id);
            assert!(!r.clauses.is_empty() && r.clauses.iter().all(|c| c.starts_with(['X', 'S', 'C', 'H', 'Q'])), "{}", r.id);
            for zh in [r.zh, r.remedy_zh] {
                assert!(zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{}", r.id);
            }
            assert!(!r.en.is_empty() && !r.remedy_en.is_empty());
        }
    }
}
