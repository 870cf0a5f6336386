//! Reviews through pages, by hand: keys, votes signed outside a browser, statements, appeals. What one reviewer said shows nowhere before
//! the other has voted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fusebox::gate::fingerprint;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::by_hand::{Hand, Page, mark};
use crate::world::{REVIEWERS, World, text};

/// The key of a reviewer, the same at each call.
fn key(who: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(ring::digest::digest(&ring::digest::SHA256, who.as_bytes()).as_ref()).unwrap()
}

/// Posts a form of the page at `path` to `to`, as a browser would: with the mark that the page carries.
#[track_caller]
fn send(hand: &mut Hand, path: &str, to: &str, fields: &[(&str, &str)]) -> Page {
    let page = hand.get(path);
    assert!(page.html.contains(&format!("action=\"{to}\"")), "{path} has no form to {to}: {}", page.html);
    let mark = mark(&page.html);
    hand.post(to, &[&[("mark", mark.as_str())], fields].concat(), &[("sec-fetch-site", "same-origin")])
}

/// The address that a step leads to.
#[track_caller]
fn done(page: &Page, word: &str) {
    let to = page.headers.get("location").map(|to| to.to_str().unwrap()).unwrap_or_default();
    assert!(page.status == 303 && to.ends_with(&format!("done={word}")), "{} {to}\n{}", page.status, page.html);
}

#[track_caller]
fn refused(page: &Page, rule: &str) {
    assert!(page.status >= 400 && page.html.contains(rule), "{}: not {rule}\n{}", page.status, page.html);
}

fn all_reviewers() -> impl Iterator<Item = &'static str> {
    ["reviewer-song"].into_iter().chain(REVIEWERS.map(|(who, _)| who))
}

pub fn keys_are_confirmed_by_a_fingerprint_that_the_page_does_not_show(world: &World) {
    let mut admin = Hand::signed_in(world, "security-ma");
    for who in all_reviewers() {
        let public = key(who).public_key().as_ref().to_vec();
        let mut hand = Hand::signed_in(world, who);
        let made = send(&mut hand, "/console/keys", "/console/keys", &[("public_key", &STANDARD.encode(&public))]);
        done(&made, "enrolled");
        let told = fingerprint(&public);
        let digits: Vec<String> = told.as_bytes()["sha256:".len()..].chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        let groups = digits.join(" ");
        let page = hand.get("/console/keys").html;
        assert!(page.contains(&groups) && page.contains(&format!("data-key=\"{}\"", STANDARD.encode(&public))), "{page}");
        // The administrator's page holds nothing of it; the reviewer's own word for it is what confirms.
        let page = admin.get("/console/keys").html;
        assert!(page.contains(who) && !page.contains(&told) && !page.contains(&groups), "{page}");
        let id = page.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let wrong = "0".repeat(64);
        let confirm =
            |admin: &mut Hand, told: &str| send(admin, "/console/keys", "/console/keys/confirm", &[("key", &id), ("fingerprint", told)]);
        refused(&confirm(&mut admin, &wrong), "review.fingerprint");
        done(&confirm(&mut admin, &groups.to_uppercase()), "confirmed");
        assert!(admin.get("/console/keys").html.contains(&groups), "once it is confirmed it shows");
    }
    // The key of someone else, and one that is none.
    let mut hand = Hand::signed_in(world, "reviewer-song");
    for (what, rule) in
        [(STANDARD.encode(key("reviewer-tang").public_key().as_ref()), "request.conflict"), (String::new(), "request.malformed")]
    {
        refused(&send(&mut hand, "/console/keys", "/console/keys", &[("public_key", &what)]), rule);
    }
    // A reviewer does away with a key of its own and with no other.
    let spare = key("spare").public_key().as_ref().to_vec();
    done(&send(&mut hand, "/console/keys", "/console/keys", &[("public_key", &STANDARD.encode(&spare))]), "enrolled");
    let keys = world.client("security-ma").get("/v1/reviewer-keys").good();
    let named = |public: &str| {
        let found = keys.as_array().unwrap().iter().find(|k| k["public_key"] == *public).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let (own, other) = (named(&STANDARD.encode(&spare)), named(&STANDARD.encode(key("reviewer-tang").public_key().as_ref())));
    refused(&send(&mut hand, "/console/keys", "/console/keys/revoke", &[("key", &other)]), "auth.");
    done(&send(&mut hand, "/console/keys", "/console/keys/revoke", &[("key", &own)]), "revoked");
    for who in ["operator-wang", "tax-zhao", "system-gao"] {
        refused(&Hand::signed_in(world, who).get("/console/keys"), "auth.role");
    }
}

/// A vote as a browser's script makes it out of the attributes of the form.
fn ballot(hand: &mut Hand, who: &str, release: &str, (decision, reason): (&str, &str)) -> Page {
    let page = format!("/console/releases/{release}");
    let opened = send(hand, &page, &format!("{page}/copy#artefact"), &[]);
    let form = opened.html.split("data-script=\"vote\"").nth(1).unwrap_or_else(|| panic!("{who} has no form to vote: {}", opened.html));
    let told = |name: &str| form.split(&format!("data-{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    assert!(told("keys").split(' ').any(|k| k == STANDARD.encode(key(who).public_key().as_ref())), "{form}");
    let message = format!("fusebox-review-v1\n{}\n{}\n{}\n{decision}\n{reason}\n", told("release"), told("round"), told("commitment"));
    let signature = STANDARD.encode(key(who).sign(message.as_bytes()).as_ref());
    let mark = mark(&opened.html);
    let fields = [("mark", mark.as_str()), ("decision", decision), ("reason", reason), ("signature", signature.as_str())];
    hand.post(&format!("{page}/vote"), &fields, &[("sec-fetch-site", "same-origin")])
}

pub fn a_first_vote_changes_no_page_of_the_other_reviewer(world: &World) {
    let release = &world.models[0];
    let page = format!("/console/releases/{release}");
    let (mut song, mut tang) = (Hand::signed_in(world, "reviewer-song"), Hand::signed_in(world, "reviewer-tang"));
    // Without the review copy there is no form; with it there is, and each opening is a leaf.
    let closed = tang.get(&page).html;
    assert!(closed.contains("请先在上方调阅审核副本") && !closed.contains("data-script=\"vote\""));
    let see = |hand: &mut Hand| -> Vec<String> {
        let mut seen: Vec<String> =
            [&page, "/console/releases", "/console/overview", "/console/keys"].map(|path| hand.get(path).html).into();
        seen.push(send(hand, &page, &format!("{page}/copy#artefact"), &[]).html);
        seen
    };
    let before = see(&mut tang);
    let signed = ballot(&mut song, "reviewer-song", release, ("deny", "beyond_purpose"));
    done(&signed, "voted");
    for (before, after) in before.iter().zip(see(&mut tang)) {
        assert_eq!(*before, after, "a page of the other reviewer changed with the first vote");
    }
    // Nor does it show to the voter again, to the operator, or to the authority.
    for who in ["reviewer-song", "operator-wang", "authority-chen", "tax-zhao", "checker-li"] {
        let html = Hand::signed_in(world, who).get(&page).html;
        assert!(!html.contains("超出用途所需") && !html.contains("beyond_purpose"), "{who}: {html}");
    }
    assert!(song.get(&page).html.contains("您的表决已封存") && !song.get(&page).html.contains("data-script=\"vote\""));
    // A signature over something else is refused, and is no vote.
    let opened = send(&mut tang, &page, &format!("{page}/copy#artefact"), &[]);
    let forged =
        [("mark", mark(&opened.html)), ("decision", "approve".into()), ("reason", "sound".into()), ("signature", STANDARD.encode([7; 64]))];
    let forged: Vec<(&str, &str)> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    refused(&tang.post(&format!("{page}/vote"), &forged, &[("sec-fetch-site", "same-origin")]), "review.signature");
    let shown = world.client("authority-chen").get(&format!("/v1/releases/{release}")).good();
    assert_eq!(shown["review"]["votes_in"], 1);
    // Who approved the module is told why it has no form.
    assert!(Hand::signed_in(world, "checker-li").get(&page).html.contains("须由其他审核人办理"));
    done(&ballot(&mut tang, "reviewer-tang", release, ("approve", "sound")), "denied");
    let decided = song.get(&page).html;
    for told in ["超出用途所需", "不同意出域", "同意出域", "X27(厦门)", "reviewer-tang"] {
        assert!(decided.contains(told), "{told} is not told once both are in: {decided}");
    }
}

pub fn a_return_and_an_appeal_are_taken_step_by_step_through_pages(world: &World) {
    // Denied by the votes of before: the operator appeals, the authority sends it to two others, who return it.
    let release = &world.models[0];
    let page = format!("/console/releases/{release}");
    let step = |hand: &mut Hand, step: &str, fields: &[(&str, &str)]| send(hand, &page, &format!("{page}/{step}"), fields);
    let mut operator = Hand::signed_in(world, "operator-wang");
    let mut authority = Hand::signed_in(world, "authority-chen");
    let hostile = "请复核<script>alert(1)</script>\r\n第二行";
    done(&step(&mut operator, "appeal", &[("reason", hostile)]), "appealed");
    let html = authority.get(&page).html;
    assert!(html.contains("&#60;script&#62;") && html.contains("第二行") && !html.contains("<script>alert"), "{html}");
    refused(&step(&mut authority, "hear", &[("decision", "whatever"), ("reason", "重审")]), "request.malformed");
    done(&step(&mut authority, "hear", &[("decision", "send_back"), ("reason", "重审")]), "heard");
    done(&step(&mut authority, "extend", &[("reason", "案情复杂")]), "extended");
    assert!(!authority.get(&page).html.contains(&format!("{page}/extend")), "once a round");
    assert!(Hand::signed_in(world, "reviewer-song").get(&page).html.contains("须由其他审核人办理"), "who voted before takes no part");
    let (mut lu, mut xie) = (Hand::signed_in(world, "reviewer-lu"), Hand::signed_in(world, "reviewer-xie"));
    done(&ballot(&mut lu, "reviewer-lu", release, ("return", "unexplained")), "voted");
    done(&ballot(&mut xie, "reviewer-xie", release, ("approve", "sound")), "returned");
    // Filed again, with what changed.
    let fields = [("purpose", "授信"), ("context", "逻辑回归"), ("changes", "补充口径\r\n两处")];
    done(&step(&mut operator, "request", &fields), "filed");
    let html = lu.get(&page).html;
    assert!(html.contains("补充口径\n两处"), "{html}");
    // Approved: the providers' days run, and each says on its own page that it will not object; the last one lets it leave.
    done(&ballot(&mut lu, "reviewer-lu", release, ("approve", "sound")), "voted");
    done(&ballot(&mut xie, "reviewer-xie", release, ("approve", "sound")), "pending");
    assert!(operator.get(&page).html.contains("异议期内"));
    for who in ["tax-zhao", "credit-sun", "power-zhou"] {
        let mut provider = Hand::with(&world.server, &world.provider(who).token);
        assert!(provider.get(&page).html.contains(&format!("{page}/veto")), "{who} may still object");
        done(&step(&mut provider, "waive", &[]), "waived");
    }
    let shown = world.client("operator-wang").get(&format!("/v1/releases/{release}")).good();
    assert_eq!((text(&shown, "/state"), shown["review"]["round"].as_u64()), ("released", Some(3)));
    assert!(operator.get(&page).html.contains("截距"), "what left shows to the operator");
}
