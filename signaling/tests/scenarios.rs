//! What the server does, as scripts of stanzas: `scenarios/*.scs`, one behaviour each. How to read and write them is
//! said in `scenario/mod.rs`.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod scenario;

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                scenario::run(include_str!(concat!("scenarios/", stringify!($name), ".scs")));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    a_banned_user_is_out_and_stays_out
    a_client_that_does_not_read_or_acknowledge_is_dropped
    a_count_of_what_was_never_sent_ends_the_stream
    a_dead_client_is_asked_then_lost_then_gone
    a_destroyed_room_sends_everybody_out
    a_guest_opens_a_stream_and_binds_a_resource
    a_join_tells_of_the_others_first_the_focus_before_all
    a_login_fails_three_times_at_most
    a_lost_session_is_resumed_where_it_was
    a_lost_session_leaves_after_a_minute
    a_members_only_room_keeps_its_members
    a_message_to_all_comes_back_with_an_id
    a_moderator_kicks_and_the_room_says_who_and_why
    a_page_that_goes_away_leaves_at_once
    a_password_keeps_the_room_locked
    a_private_message_reaches_one
    a_resource_bound_twice_goes_to_the_second
    a_room_tells_insiders_about_itself
    a_service_logs_in_by_scram_bound_to_tls
    a_service_logs_in_with_the_secret
    a_shard_says_which_it_is
    a_silent_client_that_answers_stays
    a_stanza_before_its_time_ends_the_stream
    a_stream_that_does_not_get_bound_is_closed
    a_stream_to_an_unknown_host_is_refused
    a_tenant_has_rooms_of_its_own
    a_visitor_listens_only
    a_wanted_resource_is_bound_and_an_impossible_one_refused
    binding_anew_keeps_the_name_and_ends_the_lost_session
    both_sides_count_stanzas
    clients_cannot_speak_for_the_room
    clients_reach_neither_each_other_nor_services_outside_rooms
    joining_again_tells_everything_again
    joins_are_refused_for_these_reasons
    joins_wait_for_the_focus
    leaving_is_told_to_all_and_confirmed
    nobody_else_resumes_a_session
    requests_pass_between_occupants
    requests_to_the_focus_go_through_its_proxy
    resuming_takes_over_from_a_connection_that_still_seems_alive
    rooms_are_limited
    sessions_are_limited
    several_changes_happen_all_or_none
    the_brewery_is_for_services
    the_domain_answers_discovery_ping_and_services
    the_domain_is_told_before_the_bind_result
    the_focus_makes_an_owner_who_is_a_moderator
    the_server_says_goodbye
    the_subject_is_kept_for_those_who_come_later
    turn_credentials_are_made_for_each_client
    what_nobody_knows_is_refused_and_answers_are_not_answered
}

#[test]
fn every_script_is_run() {
    let scripts = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios")).unwrap();
    for script in scripts {
        let path = script.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(NAMES.contains(&name.as_str()), "{name}.scs is not in the list");
    }
}
