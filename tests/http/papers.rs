//! Documents for a small world: a bureau's public dataset, an operator's own, one plan over both, the three papers.

pub const TAX: &str = r#"
id = "tax_grades"
title = "纳税信用"
provider = "bureau"
origin = "public"
public_kind = "government"
source = "金税"
update_frequency = "yearly"
security_level = "general"
personal_information = false
declared_rows = 10
unique = ["uscc"]
sharing = { class = "conditional" }
opening = { class = "conditional" }
[[columns]]
name = "uscc"
title = "统一社会信用代码"
role = "direct_identifier"
type = "text"
bytes_max = 18
linkage = "uscc"
nullable = false
[[columns]]
name = "grade"
title = "纳税等级"
role = "category"
type = "category"
domain = ["A", "B"]
nullable = false
"#;

pub const LOANS: &str = r#"
id = "loans"
title = "贷款"
provider = "opco"
origin = "non_public"
owner = "opco"
source = "core system"
update_frequency = "monthly"
security_level = "general"
personal_information = true
consent_unit = "uscc"
declared_rows = 10
unique = ["uscc"]
sharing = { class = "conditional" }
opening = { class = "none", legal_basis = "商业秘密" }
[[columns]]
name = "uscc"
title = "统一社会信用代码"
role = "direct_identifier"
type = "text"
bytes_max = 18
linkage = "uscc"
nullable = false
[[columns]]
name = "overdue"
title = "逾期"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "1"
nullable = false
"#;

pub const PLAN: &str = r#"
id = "credit"
title = "信用"
unit = "loans.uscc"
namespace = "firm"
[[members]]
alias = "loans"
dataset = "loans"
[[members]]
alias = "tax"
dataset = "tax_grades"
[[joins]]
member = "tax"
kind = "inner"
on = [["loans.uscc", "uscc"]]
[[outputs]]
name = "overdue"
from = "loans.overdue"
transform = "keep"
[[outputs]]
name = "grade"
from = "tax.grade"
transform = "keep"
"#;

pub const AUTHORISATION: &str = r#"
id = "auth-1"
operator = "opco"
scope = "信用评价"
datasets = ["tax_grades"]
term = { from = "2020-01-01", until = "2099-12-31" }
"#;

pub const APPLICATION: &str = r#"
id = "app-1"
operator = "opco"
purposes = ["credit_risk"]
legal_basis = "S24"
scope = "本市"
method = "沙箱"
use_case = "评分"
commitments = { true = true, compliant = true, secure = true }
[columns]
loans = ["uscc", "overdue"]
tax_grades = ["uscc", "grade"]
"#;

pub const AGREEMENT: &str = r#"
id = "agr-1"
operator = "opco"
authorisation = "auth-1"
application = "app-1"
plan = "credit"
purposes = ["credit_risk"]
recipients = ["opco"]
doors = ["table", "artefact"]
term = { from = "2020-01-01", until = "2099-12-31" }
budgets = { jobs_max = 10 }
safeguards = "沙箱"
disposal = "销毁"
[columns]
loans = ["uscc", "overdue"]
tax_grades = ["uscc", "grade"]
"#;

pub const POLICY: &str = include_str!("../../policies/release/standard.toml");
