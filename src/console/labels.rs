//! Labels of the interface's closed words, its few sentences, and the regulations behind its clauses.

use super::words::Lang;

/// A closed word, in English and in Chinese.
type Label = (&'static str, &'static str, &'static str);

/// Closed words. A word that is none is shown as it is.
const LABELS: &[Label] = &[
    // Roles
    ("authority", "Data authority", "大数据主管部门"),
    ("operator", "Operator", "运营主体"),
    ("researcher", "Researcher", "研究人员"),
    ("output_checker", "Output checker", "出域审核人"),
    ("system_admin", "System administrator", "系统管理员"),
    ("security_admin", "Security administrator", "安全管理员"),
    ("auditor", "Auditor", "审计员"),
    ("provider", "Data provider", "数源部门"),
    // States of outputs, jobs, modules
    ("held", "In review", "待审核"),
    ("released", "Released", "已出域"),
    ("refused", "Refused by rule", "规则拒绝"),
    ("denied", "Denied", "审核未通过"),
    ("approved_pending", "Approved, objections open", "已同意，异议期内"),
    ("awaiting_statement", "Awaits the operator's statement", "待运营主体说明"),
    ("returned", "Returned for changes", "已退回修改"),
    ("veto_window", "Objections open", "异议期内"),
    ("appealed", "Appealed", "申诉中"),
    ("decided", "Decided", "已决定"),
    ("queued", "Queued", "排队中"),
    ("running", "Running", "运行中"),
    ("in_review", "In review", "审核中"),
    ("done", "Done", "已完成"),
    ("failed", "Failed", "失败"),
    ("cancelled", "Cancelled", "已取消"),
    ("unreviewed", "Not reviewed", "未审核"),
    ("approved", "Approved", "已通过"),
    // Alerts and orders
    ("urgent", "Urgent", "紧急"),
    ("serious", "Serious", "重要"),
    ("notice", "Notice", "提示"),
    ("open", "Open", "办理中"),
    ("overdue", "Overdue", "逾期"),
    ("closed", "Closed", "已办结"),
    // What would have come of synthetic data
    ("release", "would be released", "可直接出域"),
    ("hold", "would wait for review", "须经审核"),
    ("refuse", "would be refused", "将被拒绝"),
    // Forms of output
    ("table", "Aggregate table", "统计表"),
    ("model", "Model", "模型"),
    ("artefact", "Model", "模型"),
    ("private", "Differentially private answer", "差分隐私结果"),
    ("verification", "Verification answer", "核验结果"),
    ("stopped", "Stopped before the votes", "表决前终止"),
    ("upheld", "Denial upheld", "维持原决定"),
    ("sent_back", "Sent to two other reviewers", "交由另外两名审核人"),
    ("approve", "Approve", "同意出域"),
    ("deny", "Deny", "不同意出域"),
    ("return", "Return for changes", "退回修改"),
    // Reasons of reviewers
    ("sound", "Fit for its purpose and disclosive of nobody", "符合用途且不泄露任何主体"),
    ("disclosive", "May disclose someone", "可能泄露主体信息"),
    ("beyond_purpose", "Not what the purpose needs", "超出用途所需"),
    ("capacity", "More numbers than the purpose needs", "数值数量超出用途所需"),
    ("unexplained", "Statement or context missing", "说明或背景缺失"),
    ("quality", "Data quality does not carry it", "数据质量不足以支撑"),
    ("veto", "A provider objected", "数源部门提出异议"),
    // Catalogue
    ("general", "General", "一般数据"),
    ("important", "Important", "重要数据"),
    ("core", "Core", "核心数据"),
    ("unconditional", "Unconditional", "无条件"),
    ("conditional", "Conditional", "有条件"),
    ("none", "None", "不予"),
    ("public", "Public data", "公共数据"),
    ("non_public", "Non-public data", "非公共数据"),
    ("government", "Government", "政务数据"),
    ("public_service", "Public service", "公共服务数据"),
    ("once", "Once", "一次性"),
    ("daily", "Daily", "每日"),
    ("weekly", "Weekly", "每周"),
    ("monthly", "Monthly", "每月"),
    ("quarterly", "Quarterly", "每季"),
    ("yearly", "Yearly", "每年"),
    ("direct_identifier", "Direct identifier", "直接标识"),
    ("quasi_identifier", "Quasi-identifier", "准标识"),
    ("sensitive", "Sensitive", "敏感字段"),
    ("category", "Category", "分类"),
    ("measure", "Measure", "度量"),
    ("text", "Text", "文本"),
    ("number", "Number", "数值"),
    ("date", "Date", "日期"),
    ("hour", "Hour", "小时"),
    // Transforms
    ("keep", "As it is", "原样"),
    ("pseudonym", "Pseudonym", "假名化"),
    ("mask", "Masked", "屏蔽"),
    ("prefix", "First characters", "截取前缀"),
    ("bucket", "Coarser time", "时间归并"),
    ("bands", "Bands", "分段"),
    ("clamp", "Top and bottom coded", "首尾编码"),
    ("inner", "inner", "内连接"),
    ("left", "left", "左连接"),
    // Rules that were applied
    ("table.minimum_frequency", "Minimum frequency", "最小分组"),
    ("table.dominance", "Dominance (n,k)", "支配度 (n,k)"),
    ("table.p_percent", "p% rule", "p% 规则"),
    ("table.group", "Group disclosure", "群体泄露"),
    ("table.rounding", "Rounding", "取整"),
    ("table.attacker", "Attack on suppressed cells", "抑制单元攻击检验"),
    ("table.zero_cells", "Zero and full cells", "零值与满值单元"),
    ("table.cells", "Number of cells", "单元格数量"),
    ("audit.differences", "Differences with released tables", "与已出域表的差分检验"),
    ("model.capacity", "Capacity of the model", "模型容量"),
    ("model.ratio", "Units for each parameter", "单参数单元数"),
    ("model.group", "Units of each leaf and level", "叶节点与类别单元数"),
    ("model.rounding", "Rounding of parameters", "参数取整"),
    ("model.influence", "Influence of one unit", "单个单元影响"),
    ("model.units", "Least number of units", "最少单元数"),
    // Fates and causes of cells
    ("shown", "Shown", "显示"),
    ("suppressed", "Suppressed", "抑制"),
    ("omitted", "Left out", "未列出"),
    ("zero", "No rows", "零值"),
    ("full", "Full cell", "满值"),
    ("minimum_frequency", "Below the minimum", "低于最小分组"),
    ("largest_dominates", "The largest dominates", "最大者支配"),
    ("largest_two_dominate", "The largest two dominate", "前两者支配"),
    ("p_percent", "p% rule", "p% 规则"),
    ("quantile_tail", "Tail of a quantile", "分位数尾部"),
    ("group", "Group disclosure", "群体泄露"),
    ("own_values", "A value of the operator's own with too few units", "自有字段取值单元不足"),
    ("complementary", "Hidden to protect another", "互补抑制"),
    ("overflow", "Not computable exactly", "无法精确计算"),
    // Kinds of identifier
    ("person", "Persons", "个人"),
    ("firm", "Firms", "企业"),
    // Workers and the layers of their jail
    ("ingest", "Import", "数据导入"),
    ("compile", "Compilation", "模块编译"),
    ("engine", "Engine", "融合引擎"),
    ("guest", "Module", "算法模块"),
    ("closed_descriptors", "closed descriptors", "关闭描述符"),
    ("scrubbed_arguments", "scrubbed arguments", "清除参数"),
    ("no_new_privileges", "no new privileges", "禁止提权"),
    ("non_dumpable", "no core dump", "禁止转储"),
    ("resource_limits", "resource limits", "资源限额"),
    ("seccomp", "seccomp", "系统调用过滤"),
    ("user_namespace", "user namespace", "用户隔离"),
    ("pid_namespace", "process namespace", "进程隔离"),
    ("mount_namespace", "mount namespace", "挂载隔离"),
    ("network_namespace", "network namespace", "网络隔离"),
    ("ipc_namespace", "IPC namespace", "通信隔离"),
    ("uts_namespace", "host name namespace", "主机名隔离"),
    ("landlock", "Landlock", "文件访问限制"),
    // What an attack on suppressed cells came to
    ("no_equations", "Nothing hidden stands in an equation", "隐藏单元不在任何等式中"),
    ("protected", "Protected", "已受保护"),
    ("too_many_cells", "Too many cells", "单元格过多"),
    ("too_many_hidden", "Too many hidden cells", "隐藏单元过多"),
    ("exposed", "Exposed", "仍可反推"),
    // Probe of a model
    ("random", "at random", "随机"),
    ("extreme", "extreme", "极端"),
    ("same", "The same output", "输出相同"),
    ("differs", "Another output", "输出不同"),
    ("identity", "Linear", "线性"),
    ("logit", "Logistic", "逻辑斯蒂"),
];

/// The label of a closed word; the word itself where it has none.
pub(super) fn say(lang: Lang, word: &str) -> String {
    let found = LABELS.iter().find(|(key, ..)| *key == word);
    found.map_or(word, |(_, en, zh)| if lang == Lang::En { en } else { zh }).to_owned()
}

/// Sentences of checks and thresholds; `#` stands for a whole number, in the Chinese one `#1`, `#2` for the first, the second.
const PHRASES: &[(&str, &str)] = &[
    ("# units", "#1 个单元"),
    ("# cells", "#1 个单元格"),
    ("# of # cells suppressed under all cell rules", "共 #2 个单元格，按全部规则抑制 #1 个"),
    ("largest #‰, largest two #‰", "最大者 #1‰，前两者合计 #2‰"),
    ("applied to every sum, mean and variance", "已对各求和、均值、方差执行"),
    ("applied", "已执行"),
    ("reached", "已达到"),
    ("applied, with all that was released before", "已执行，含全部已出域表"),
    ("# units left out, one at a time", "逐一去除 #1 个单元"),
    ("applied, for the reviewers", "已执行，结果供审核人查阅"),
    ("# coefficients", "#1 个系数"),
    ("# bits, # coefficients", "#1 比特，#2 个系数"),
    ("# bits", "#1 比特"),
    ("# parameters", "#1 个参数"),
    ("# units a parameter", "每个参数 #1 个单元"),
    ("# significant digits", "#1 位有效数字"),
    ("\"suppress\"", "抑制"),
    ("\"show\"", "显示"),
    ("#‰", "#1‰"),
    ("#‰ of a margin", "占边际合计 #1‰"),
    ("base #, nearest", "基数 #1，四舍五入"),
    ("base #, random", "基数 #1，随机取整"),
    ("protected", "已受保护"),
    ("nothing follows from the tables of this job", "本任务各表不可推导"),
    (
        "tables that agree with everything shown lie far enough from every hidden figure, on both sides",
        "与全部公开数值相容的表，其每个隐藏数值两侧均有足够距离",
    ),
    ("shown to checkers", "仅审核人可见"),
    ("# to #", "#1 至 #2"),
    ("# s", "#1 秒"),
    // Places of a model's parameters
    ("tree #, node #", "树 #1，节点 #2"),
    ("layer #, output #, input #", "层 #1，输出 #2，输入 #3"),
    ("layer #, output #, bias", "层 #1，输出 #2，偏置"),
    // What alerts found, and from where on they are raised
    ("due #-#-#", "应于 #1-#2-#3 前办结"),
    ("# working days", "#1 个工作日"),
    ("ended #-#-#", "#1-#2-#3 到期或终止"),
    ("a certificate of disposal", "须有处置证明"),
    ("ends #-#-#", "#1-#2-#3 到期"),
    ("# days", "#1 日"),
    ("# attempts", "#1 次"),
    ("# or more in # days", "#2 日内 #1 次及以上"),
    ("# tables for a difference, # held or refused in all", "因差分 #1 张，暂扣或拒绝共 #2 张"),
    ("# for a difference, or # in all, in # days", "#3 日内因差分 #1 张，或合计 #2 张"),
    ("# answers on #-#-#", "#2-#3-#4 当日 #1 次"),
    ("# of # answers a day", "单日上限 #2 次中的 #1 次"),
    ("# calls denied", "#1 次调用被拒绝"),
    ("# calls in # days", "#2 日内 #1 次"),
    ("# modules", "#1 个模块"),
    ("# modules in # days", "#2 日内 #1 个"),
    ("# of # outputs", "#2 个输出中 #1 个"),
    ("# % of # outputs or more", "#2 个及以上输出的 #1%"),
    ("the day of the order", "整改令期限"),
    ("no fault", "无异常"),
    ("the witness cosigned a log that is not this one", "见证方联署的日志与本日志不一致"),
    ("a checkpoint that is remembered", "与留存检查点不符"),
    ("all releases", "全部出域"),
    ("# freeze", "#1 项暂停"),
];

/// A text as a sentence begins.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A text with `#` for each whole number, and the numbers.
fn numbered(text: &str) -> (String, Vec<String>) {
    let (mut form, mut numbers) = (String::new(), Vec::<String>::new());
    let mut in_number = false;
    for c in text.chars() {
        if c.is_ascii_digit() {
            if !in_number {
                form.push('#');
                numbers.push(String::new());
            }
            numbers.last_mut().into_iter().for_each(|n| n.push(c));
        } else {
            form.push(c);
        }
        in_number = c.is_ascii_digit();
    }
    (form, numbers)
}

/// A sentence of the interface in this language; as it is where it is none of [`PHRASES`].
pub(super) fn phrase(lang: Lang, text: &str) -> String {
    if lang == Lang::En {
        return text.to_owned();
    }
    if let Some(org) = text.strip_suffix(" (calls)") {
        return format!("{org}(调用)");
    }
    let (form, numbers) = numbered(text);
    let Some((_, zh)) = PHRASES.iter().find(|(en, _)| *en == form) else { return text.to_owned() };
    let numbered = numbers.iter().enumerate();
    numbered.fold((*zh).to_owned(), |text, (i, number)| text.replace(&format!("#{}", i + 1), number))
}

/// Names of figures in evidence and reports, by their place; a closed list, of which any prefix may be one.
const FIGURES: &[(&str, &str, &str)] = &[
    ("units", "Privacy units of the view", "视图单元数"),
    ("rows", "Rows of the view", "视图行数"),
    ("parameters", "Parameters", "参数个数"),
    ("units_per_parameter", "Units for each parameter", "单参数单元数"),
    ("degrees_of_freedom", "Degrees of freedom", "自由度"),
    ("capacity.millibits_per_parameter", "Thousandths of a bit for each parameter", "单参数容量(千分之一比特)"),
    ("capacity.parameter_bits", "Bits of all parameters", "全部参数容量(比特)"),
    ("capacity.structure_bits", "Bits of the shape", "结构容量(比特)"),
    ("capacity.bits", "Bits in all", "总容量(比特)"),
    ("capacity.bits_max", "Bits allowed", "容量上限(比特)"),
    ("smallest_leaf", "Units of the smallest leaf", "最小叶节点单元数"),
    ("leaves", "Units of each leaf", "各叶节点单元数"),
    ("name", "Name", "名称"),
    ("attack.attacker", "Attacker", "攻击者模型"),
    ("attack.solver", "Solver", "求解器"),
    ("attack.outcome", "Outcome of the attack", "攻击检验结果"),
    ("attack.primary", "Cells that a rule hides", "按规则抑制单元数"),
    ("attack.complementary", "Cells hidden for others", "互补抑制单元数"),
    ("attack.cells", "Cells in equations", "等式涉及单元数"),
    ("attack.equations", "Equations", "等式数"),
    ("attack.programs", "Linear programs solved", "求解线性规划数"),
];

/// The name of a figure of evidence; none of one that has no other name than its place.
pub(super) fn figure_name(lang: Lang, place: &str) -> Option<&'static str> {
    let found = FIGURES.iter().find(|(known, ..)| *known == place)?;
    Some(if lang == Lang::En { found.1 } else { found.2 })
}

/// What was just done, by its closed word.
pub(super) fn done(lang: Lang, word: &str) -> Option<&'static str> {
    let (en, zh) = match word {
        "approved" => ("Approved.", "已同意出域。"),
        "denied" => ("Denied; the reason is in the log.", "已作出不同意决定，理由已记入日志。"),
        "filed" => ("The request is filed; the reply clock runs.", "出域申请已提交，开始计算答复时限。"),
        "voted" => ("Your vote is in, sealed until the other reviewer has voted.", "您的表决已封存，待另一名审核人表决。"),
        "pending" => ("Approved; the providers may still object.", "已同意出域，数源部门仍在异议期内。"),
        "returned" => ("Returned to the operator for changes.", "已退回运营主体修改。"),
        "extended" => ("The reply clock is extended.", "答复时限已延长。"),
        "waived" => ("It is recorded that you will not object.", "已记录放弃异议。"),
        "appealed" => ("The appeal is filed.", "申诉已提交。"),
        "heard" => ("The appeal is decided.", "申诉已裁定。"),
        "enrolled" => ("The key is enrolled and waits for confirmation.", "密钥已登记，待安全管理员确认。"),
        "confirmed" => ("The key is confirmed.", "密钥已确认。"),
        "revoked" => ("The key is revoked.", "密钥已吊销。"),
        "vetoed" => ("Your objection is recorded; the output does not leave.", "异议已记录，该输出不得出域。"),
        "frozen" => ("Releases are stopped.", "已暂停出域。"),
        "lifted" => ("The freeze is lifted.", "已解除暂停。"),
        "countersigned" => ("Counter-signed.", "已会签。"),
        "decided" => ("The application is decided.", "已答复申请。"),
        "submitted" => ("The job is queued.", "任务已提交，正在排队。"),
        "cancelled" => ("The job is cancelled.", "任务已取消。"),
        "acknowledged" => ("The acknowledgement is in the log.", "已确认告警并记入日志。"),
        "ordered" => ("The order is issued.", "已签发整改令。"),
        "closed" => ("The order is closed.", "已办结整改令。"),
        "reviewed" => ("The module's review is recorded.", "模块审核已记录。"),
        _ => return None,
    };
    Some(if lang == Lang::En { en } else { zh })
}

/// A regulation: its sign, its title in Chinese and in English, its standing.
pub(super) const REGULATIONS: [(char, &str, &str, &str, &str); 5] = [
    ('X', "厦门经济特区数据条例", "Xiamen Special Economic Zone Data Regulations", "2023-03-01 起施行", "in force from 2023-03-01"),
    ('S', "苏州市数据条例", "Suzhou Data Regulations", "已施行", "in force"),
    ('C', "重庆市大数据发展管理条例(草案, 2021)", "Chongqing Big Data Development Regulations (draft, 2021)", "草案", "draft"),
    ('H', "惠州市公共数据管理实施细则", "Huizhou Public Data Implementation Rules", "2024-01-03 起施行", "in force from 2024-01-03"),
    ('Q', "青岛市公共数据管理办法", "Qingdao Public Data Measures", "2024-02-01 起施行", "in force from 2024-02-01"),
];

/// An article with the short name of its regulation, such as «X30 (Xiamen)».
pub(super) fn article(lang: Lang, clause: &str) -> String {
    let place = match (clause.chars().next(), lang) {
        (Some('X'), Lang::En) => "Xiamen",
        (Some('X'), Lang::Zh) => "厦门",
        (Some('S'), Lang::En) => "Suzhou",
        (Some('S'), Lang::Zh) => "苏州",
        (Some('C'), Lang::En) => "Chongqing draft",
        (Some('C'), Lang::Zh) => "重庆草案",
        (Some('H'), Lang::En) => "Huizhou",
        (Some('H'), Lang::Zh) => "惠州",
        (Some('Q'), Lang::En) => "Qingdao",
        (Some('Q'), Lang::Zh) => "青岛",
        _ => return clause.to_owned(),
    };
    match lang {
        Lang::En => format!("{clause} ({place})"),
        Lang::Zh => format!("{clause}({place})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::REASONS;
    use crate::jobs::State;
    use crate::policy::Role;

    fn known(word: &str) -> bool {
        LABELS.iter().filter(|(key, ..)| *key == word).count() == 1
    }

    #[test]
    fn every_closed_word_has_one_label_in_both_languages() {
        let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        let states = State::ALL.iter().map(|s| word(serde_json::json!(s)));
        let reasons = REASONS.iter().map(|(r, ..)| word(serde_json::json!(r)));
        let roles = Role::ALL.iter().map(|r| r.as_str().to_owned());
        let others = ["held", "released", "refused", "denied", "table", "model", "private"].map(str::to_owned);
        let checks = include_str!("../gate/checks.rs").split("\n").filter_map(|line| {
            let rest = line.trim().split_once('"')?.1;
            let name = rest.split_once('"')?.0;
            ((name.starts_with("table.") || name.starts_with("model.")) && !name.contains(' ')).then(|| name.to_owned())
        });
        let missing: Vec<String> = states.chain(reasons).chain(roles).chain(others).chain(checks).filter(|w| !known(w)).collect();
        assert_eq!(missing, Vec::<String>::new());
        assert!(LABELS.iter().all(|(_, en, zh)| en.is_ascii() && !zh.is_ascii()));
    }

    #[test]
    fn sentences_keep_their_numbers() {
        assert_eq!(phrase(Lang::Zh, "3 of 20 cells suppressed under all cell rules"), "共 20 个单元格，按全部规则抑制 3 个");
        assert_eq!(phrase(Lang::Zh, "10 units"), "10 个单元");
        assert_eq!(phrase(Lang::Zh, "something 7 new"), "something 7 new");
        assert_eq!(phrase(Lang::En, "10 units"), "10 units");
    }

    #[test]
    fn every_clause_of_a_rule_is_of_a_regulation_in_the_legend() {
        let alerts = crate::supervision::ALERTS.iter().flat_map(|rule| rule.clauses);
        for clause in crate::refusal::RULES.iter().flat_map(|rule| rule.clauses).chain(alerts) {
            assert!(REGULATIONS.iter().any(|(sign, ..)| clause.starts_with(*sign)), "{clause}");
            assert_ne!(article(Lang::Zh, clause), *clause);
        }
    }
}
