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
    a_check_of_the_focus_is_no_meeting
    a_client_that_does_not_read_or_acknowledge_is_dropped
    a_client_that_sends_too_much_too_fast_is_put_out
    a_conference_is_shown_to_its_visitors
    a_count_of_what_was_never_sent_ends_the_stream
    a_dead_client_is_asked_then_lost_then_gone
    a_destroyed_room_sends_everybody_out
    a_guest_opens_a_stream_and_binds_a_resource
    a_join_tells_of_the_others_first_the_focus_before_all
    a_lobby_ends_with_its_meeting
    a_login_fails_three_times_at_most
    a_login_takes_a_token_where_tokens_count
    a_lost_session_is_resumed_where_it_was
    a_lost_session_leaves_after_a_minute
    a_meeting_splits_into_breakout_rooms
    a_meeting_takes_as_long_as_it_may
    a_members_only_room_keeps_its_members
    a_message_is_changed_by_its_author_only
    a_message_to_all_comes_back_with_an_id
    a_moderator_kicks_and_the_room_says_who_and_why
    a_moderator_takes_back_what_others_wrote
    a_nick_is_the_start_of_the_user_name_where_that_is_wanted
    a_page_that_goes_away_leaves_at_once
    a_password_keeps_the_room_locked
    a_private_message_reaches_one
    a_queue_is_told_when_a_conference_is_live
    a_recorder_is_told_which_meeting_it_records
    a_resource_bound_twice_goes_to_the_second
    a_room_opens_by_reservation
    a_room_says_that_bridges_have_it_written_down
    a_room_takes_so_many_messages_and_says_so_once
    a_room_tells_insiders_about_itself
    a_room_without_a_reservation_stays_closed
    a_service_logs_in_by_scram_bound_to_tls
    a_service_logs_in_with_the_secret
    a_shard_says_which_it_is
    a_silent_client_that_answers_stays
    a_split_meeting_ends_when_nobody_is_in_any_of_its_rooms
    a_stanza_before_its_time_ends_the_stream
    a_stream_that_does_not_get_bound_is_closed
    a_stream_to_an_unknown_host_is_refused
    a_tenant_has_rooms_of_its_own
    a_tenants_conference_has_visitors_of_its_own
    a_token_is_renewed_when_its_client_comes_back
    a_token_of_a_user_brings_a_visitor_in
    a_token_says_what_its_room_is_like
    a_token_sends_its_user_to_the_lobby
    a_user_goes_on_with_another_device
    a_visitor_asks_to_come_in
    a_visitor_listens_only
    a_wanted_resource_is_bound_and_an_impossible_one_refused
    an_account_that_is_guessed_at_is_closed_for_a_while
    an_approval_goes_with_who_leaves
    another_server_decides_who_gets_in
    binding_anew_keeps_the_name_and_ends_the_lost_session
    both_sides_count_stanzas
    chat_can_be_restricted_to_those_with_the_right
    clients_cannot_speak_for_the_room
    clients_reach_neither_each_other_nor_services_outside_rooms
    components_are_found_by_what_the_domain_says_of_itself
    components_mean_the_room_of_the_tenant
    everybody_owns_the_rooms_that_he_joins
    forged_words_about_visitors_come_to_nothing
    hosts_walk_past_lobbies_where_that_is_wanted
    joining_again_tells_everything_again
    joins_and_departures_keep_a_pace
    joins_are_refused_for_these_reasons
    joins_wait_for_the_focus
    leaving_is_told_to_all_and_confirmed
    metadata_is_what_all_in_a_room_agree_on
    moderators_say_who_may_unmute
    names_are_not_shown_to_guests
    nobody_else_resumes_a_session
    nobody_moderates_by_himself_where_that_is_wanted
    not_everybody_has_recorders_and_telephones_called
    others_are_told_what_happens_in_rooms
    polls_are_asked_answered_and_told_to_who_comes_late
    polls_can_be_left_to_those_with_the_right
    requests_pass_between_occupants
    requests_to_the_focus_go_through_its_proxy
    resuming_takes_over_from_a_connection_that_still_seems_alive
    rooms_are_limited
    rooms_of_visitors_come_and_go
    s2_18_guests_wait_for_a_host
    s2_19_who_comes_waits_in_the_lobby_until_let_in
    s2_19_who_is_denied_again_and_again_waits_with_asking
    s2_20_and_s2_68_a_moderator_ends_the_meeting_for_all
    s2_49_a_token_opens_the_room_that_it_names
    s2_51_a_token_says_who_somebody_is_and_what_he_owns
    s2_52_no_party_before_an_owner_and_none_long_after
    s2_53_a_meeting_ends_ten_minutes_after_its_last_owner_left
    s2_54_recorders_neither_count_nor_are_refused
    s2_63_guests_come_in_by_a_domain_of_their_own
    s2_65_and_s2_66_a_lobby_from_the_start_is_passed_by_those_with_the_right
    sessions_are_limited
    several_changes_happen_all_or_none
    shared_files_are_told_to_the_others
    the_brewery_is_for_services
    the_domain_answers_discovery_ping_and_services
    the_domain_is_told_before_the_bind_result
    the_focus_learns_who_wants_to_hear_whom_in_which_language
    the_focus_makes_an_owner_who_is_a_moderator
    the_server_says_goodbye
    the_subject_is_kept_for_those_who_come_later
    tokens_and_passwords_log_in_side_by_side
    transcribers_learn_what_visitors_want_to_read
    turn_credentials_are_for_those_in_a_room_where_that_is_wanted
    turn_credentials_are_made_for_each_client
    visitors_are_refused_for_these_reasons
    visitors_come_in_by_themselves_where_that_is_wanted
    visitors_find_what_their_node_offers
    visitors_speak_without_being_seen
    what_moderators_do_is_in_the_journal
    what_nobody_knows_is_refused_and_answers_are_not_answered
    who_comes_is_told_how_it_stands_now
    who_comes_late_learns_who_spoke_for_how_long
    who_comes_through_a_proxy_is_in_its_region
    who_guesses_at_many_streams_at_a_time_is_not_listened_to
    who_guesses_passwords_is_not_listened_to
    who_is_in_a_room_gets_a_token_for_its_files
    who_logs_in_with_a_password_is_a_host
    who_shows_nothing_configures_nothing_where_that_is_wanted
    who_spoke_for_how_long_is_told_outside
    who_waits_for_a_host_in_vain_leaves_nothing_behind
    who_wants_a_recorder_waits_in_a_queue
    whoever_has_a_token_moderates_where_that_is_wanted
    whoever_may_transcribe_switches_it_on
}

fn scripts() -> impl Iterator<Item = std::path::PathBuf> {
    let scripts = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios")).unwrap();
    scripts.map(|script| script.unwrap().path())
}

#[test]
fn every_script_is_run() {
    for path in scripts() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(NAMES.contains(&name.as_str()), "{name}.scs is not in the list");
    }
}

/// The shell around the core frames, parses, judges tokens and queues as the core expects it.
#[test]
fn scripts_hold_over_real_websockets() {
    let (mut held, mut failed) = (0, Vec::new());
    for path in scripts() {
        let script = std::fs::read_to_string(&path).unwrap();
        if scenario::is_timeless(&script) {
            match std::panic::catch_unwind(|| scenario::run_over_websockets(&script)) {
                Ok(()) => held += 1,
                Err(_) => failed.push(path),
            }
        }
    }
    assert!(failed.is_empty() && held >= 50, "{held} scripts hold, these do not: {failed:?}");
}

/// Whoever reads a script finds what it is held to: Prosody's module, an XEP, an RFC, or the notes on the stock client.
#[test]
fn every_script_cites_what_it_follows() {
    let sources = ["mod_", "XEP-", "RFC ", "client.md §", "signaling.md §"];
    for path in scripts() {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut comments = text.lines().filter(|line| line.starts_with('#'));
        assert!(comments.any(|line| sources.iter().any(|source| line.contains(source))), "{}", path.display());
    }
}
