use super::*;
use crate::catalog::entry::tests::{BANK, TAX};
use crate::catalog::resolve::tests::PLAN;

fn qualify(plan: &str, tax: &str, bank: &str) -> Result<(), String> {
    let (tax, bank) = (CatalogueEntry::parse(tax).unwrap(), CatalogueEntry::parse(bank).unwrap());
    let catalogue = BTreeMap::from([(tax.id.clone(), &tax), (bank.id.clone(), &bank)]);
    FusionPlan::parse(plan).unwrap().qualify(&catalogue).map_err(|r| {
        assert_eq!(r.rule().id, "plan.private");
        r.subject_text().unwrap_or_default().to_owned()
    })
}

#[test]
fn members_joined_on_the_unit_qualify() {
    qualify(PLAN, TAX, BANK).unwrap();
}

#[test]
fn a_member_that_is_neither_joined_on_the_unit_nor_free_of_units_is_refused_by_name() {
    // The unit lies in the member that comes second: the first one's rows belong to nobody that the plan names.
    let plan = PLAN.replace("unit = \"tax.uscc\"", "unit = \"bank.uscc\"");
    assert_eq!(qualify(&plan, TAX, BANK).unwrap_err(), "members.tax: neither joined on the unit nor declared `unit_free`");
    // Declared free of units, the first member may be what people are joined to.
    let tax = TAX.replacen("sharing", "unit_free = true\nsharing", 1);
    assert!(CatalogueEntry::parse(&tax).is_err(), "an entry with direct identifiers is not free of units");
    let plan = PLAN.replace("namespace = \"firm\"", "namespace = \"person\"");
    assert_eq!(qualify(&plan, TAX, BANK).unwrap_err(), "members.tax: the column that it is joined on is not of the unit's kind");
}

#[test]
fn consent_of_somebody_else_is_refused() {
    let bank = BANK.replacen("consent_unit = \"uscc\"", "consent_unit = \"guarantor\"", 1).replacen(
        "[[columns]]",
        "[[columns]]\nname = \"guarantor\"\ntitle = \"担保人\"\nrole = \"direct_identifier\"\ntype = \"text\"\nbytes_max = 18\nlinkage = \"resident_id\"\nnullable = false\n\n[[columns]]",
        1,
    );
    assert_eq!(qualify(PLAN, TAX, &bank).unwrap_err(), "members.bank: its rows need the consent of somebody else than the unit");
}
