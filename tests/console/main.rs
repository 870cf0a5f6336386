//! The console in a browser and by hand: who sees which page, what it says, and that it loads nothing from elsewhere.
//!
//! One server for all of it, for a world of firms takes longest to make. Screenshots are kept; the folder is printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod by_hand;
mod gallery;
mod journey;
mod log;
mod matrix;
mod reviews;
mod world;

#[test]
fn the_console_shows_each_role_what_it_may_see_and_nothing_from_elsewhere() {
    let world = world::World::start();
    matrix::every_page_and_role(&world);
    by_hand::forms_are_of_their_session(&world);
    by_hand::a_reviewer_sees_the_probe(&world);
    by_hand::a_bundle_is_there_for_who_sees_what_left(&world);
    by_hand::a_session_ends_with_its_token(&world);
    reviews::keys_are_confirmed_by_a_fingerprint_that_the_page_does_not_show(&world);
    reviews::a_first_vote_changes_no_page_of_the_other_reviewer(&world);
    reviews::a_return_and_an_appeal_are_taken_step_by_step_through_pages(&world);
    matrix::every_form_and_role(&world);
}

#[test]
fn the_log_verifies_in_the_page_and_tampering_shows() {
    log::a_leaf_verifies_in_the_page_and_what_was_changed_does_not();
}

#[test]
fn the_log_shows_bodies_to_those_they_concern() {
    log::a_body_shows_to_those_it_concerns();
}

#[test]
#[ignore = "takes a picture of every page, for someone to look at; prints their folder"]
fn gallery_of_every_page() {
    gallery::of_every_page();
}

#[test]
fn a_reviewer_a_provider_and_an_authority_find_their_way_in_a_browser() {
    journey::in_a_browser(&mut world::World::start());
}
