//! Keys with which reviewers sign: a reviewer enrols one that its browser made, the security administrator confirms it by the fingerprint
//! that the reviewer told on another way than this one.

use axum::response::Response;
use serde_json::{Value, json};

use super::desk::{Desk, Posted, Shown, Trouble};
use super::json::{list, some, text, time};
use super::kit::{Cell, Facts, Field, Form, Part, Section, Table, Tone};
use crate::policy::Role;

fn waits(key: &Value) -> bool {
    !some(key, "/confirmed_at") && !some(key, "/revoked_at")
}

/// The keys that the caller may see, and the forms of what the caller may do.
pub(super) async fn show(desk: Desk) -> Shown {
    let r = desk.r();
    let all = desk.get("/v1/reviewer-keys").await?;
    let keys = list(&all, "");
    let (own, admin) = (desk.is(&[Role::OutputChecker]), desk.is(&[Role::SecurityAdmin]));
    let lead = match (own, admin) {
        (true, _) => r.keys_lead_own,
        (_, true) => r.keys_lead_admin,
        _ => r.keys_lead_all,
    };
    let mut page = desk.page(r.keys).lead(lead);
    if admin {
        page = page.section(confirmation(&desk, keys));
    }
    let mut list = Section::new("list", "");
    if own && keys.iter().any(waits) {
        list = list.part(Part::note(Tone::Wait, r.tell));
    }
    page = page.section(list.table(table(&desk, keys)));
    if own {
        page = page.section(enrolment(&desk));
    }
    if (own || admin) && keys.iter().any(|key| !some(key, "/revoked_at")) {
        page = page.section(revocation(&desk, keys));
    }
    Ok(page.show())
}

fn table(desk: &Desk, keys: &[Value]) -> Table {
    let (w, r) = (desk.w(), desk.r());
    let heads = [r.key, r.vote_reviewer, w.status, r.fingerprint, r.enrolled_at, r.confirmed_at, r.revoked_at];
    let mut table = Table::new(r.keys_caption, &heads, r.keys_none);
    for key in keys {
        let status = match (some(key, "/revoked_at"), some(key, "/confirmed_at")) {
            (true, _) => Cell::chip(Tone::Plain, r.key_revoked),
            (false, true) => Cell::chip(Tone::Good, r.key_stands),
            (false, false) => Cell::chip(Tone::Wait, r.key_waits),
        };
        let own = text(key, "/principal") == desk.me().id.as_str();
        // Who confirms must have it from the reviewer.
        let told = if waits(key) && desk.is(&[Role::SecurityAdmin]) {
            Cell::default().and_muted(r.key_told)
        } else {
            Cell::default().and_fingerprint(text(key, "/fingerprint"))
        };
        table.push(vec![
            Cell::code(text(key, "/id")),
            Cell::text(text(key, "/principal")).line().and_muted(text(key, "/org")),
            if own { status.and_here(text(key, "/public_key"), r.key_here) } else { status },
            told,
            Cell::text(time(key, "/enrolled_at")),
            Cell::text(time(key, "/confirmed_at")),
            Cell::text(time(key, "/revoked_at")),
        ]);
    }
    table
}

fn enrolment(desk: &Desk) -> Section {
    let r = desk.r();
    let key = Field::Hidden { name: "public_key", value: String::new() };
    let form = Form::new("/console/keys", desk.mark(), r.enrol_send).by_script("enrol", Vec::new()).field(key);
    Section::new("enrol", r.enrol).hint(r.enrol_text).part(Part::Without("enrol", r.enrol_without.to_owned())).form(form)
}

fn confirmation(desk: &Desk, keys: &[Value]) -> Section {
    let r = desk.r();
    let mut section = Section::new("confirm", r.confirm).hint(r.confirm_text);
    if !keys.iter().any(waits) {
        return section.part(Part::note(Tone::Plain, r.confirm_none));
    }
    for key in keys.iter().filter(|key| waits(key)) {
        let facts = Facts::default()
            .add(r.vote_reviewer, Cell::text(text(key, "/principal")).and_muted(text(key, "/org")))
            .add(r.key, Cell::code(text(key, "/id")))
            .add(r.enrolled_at, Cell::text(time(key, "/enrolled_at")));
        let told = Field::Line {
            name: "fingerprint",
            label: r.fingerprint.into(),
            hint: r.confirm_hint.into(),
            value: String::new(),
            required: true,
        };
        let id = Field::Hidden { name: "key", value: text(key, "/id").to_owned() };
        section = section.facts(facts).form(Form::new("/console/keys/confirm", desk.mark(), r.confirm).field(id).field(told));
    }
    section
}

fn revocation(desk: &Desk, keys: &[Value]) -> Section {
    let r = desk.r();
    let stands = keys.iter().filter(|key| !some(key, "/revoked_at"));
    let options = stands.map(|key| (text(key, "/id").to_owned(), format!("{} · {}", text(key, "/id"), text(key, "/principal")))).collect();
    let pick = Field::Pick { name: "key", label: r.key.into(), options, value: String::new() };
    let form = Form::new("/console/keys/revoke", desk.mark(), r.revoke).field(pick).danger();
    Section::new("revoke", r.revoke).hint(r.revoke_text).form(form)
}

/// Enrols the public half of a key that the caller's browser made.
pub(super) async fn enrol(posted: Posted) -> Result<Response, Trouble> {
    posted.desk.post("/v1/reviewer-keys", &json!({ "public_key": posted.field("public_key") })).await?;
    Ok(posted.desk.back("/console/keys", "enrolled"))
}

/// A fingerprint as someone wrote it down, as the interface compares it.
fn as_compared(written: &str) -> String {
    let written: String = written.chars().filter(|c| !c.is_whitespace()).collect();
    let written = written.to_ascii_lowercase();
    format!("sha256:{}", written.strip_prefix("sha256:").unwrap_or(&written))
}

/// A key's place in the interface; only a name has one.
fn place(key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    format!("/v1/reviewer-keys/{}", if plain && !key.is_empty() { key } else { "none" })
}

/// Confirms a key.
pub(super) async fn confirm(posted: Posted) -> Result<Response, Trouble> {
    let told = json!({ "fingerprint": as_compared(posted.field("fingerprint")) });
    posted.desk.post(&format!("{}/confirm", place(posted.field("key"))), &told).await?;
    Ok(posted.desk.back("/console/keys", "confirmed"))
}

/// Revokes a key.
pub(super) async fn revoke(posted: Posted) -> Result<Response, Trouble> {
    posted.desk.delete(&place(posted.field("key"))).await?;
    Ok(posted.desk.back("/console/keys", "revoked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_compared_however_it_was_written_down() {
        let whole = format!("sha256:{}", "0a1b".repeat(16));
        let groups = "0A1B ".repeat(16);
        for written in [whole.as_str(), &groups, &format!(" SHA256:{groups}\n")] {
            assert_eq!(as_compared(written), whole, "{written:?}");
        }
        assert_ne!(as_compared(&"0a1c".repeat(16)), whole);
    }

    #[test]
    fn a_key_named_in_a_form_leads_nowhere_else() {
        assert_eq!(place("rkey-0a"), "/v1/reviewer-keys/rkey-0a");
        for name in ["", "../releases", "a/confirm", "a?b", "a b", "鍵"] {
            assert_eq!(place(name), "/v1/reviewer-keys/none", "{name}");
        }
    }
}
