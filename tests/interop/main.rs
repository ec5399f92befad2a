//! Other people's programs: sipp's scenarios, baresip and Linphone against the pool, Kamailio in
//! its place.
//!
//! Without the usual harness, so that what cannot run here is named in the output of `cargo test`.
//! With `CI=true` a program that is missing is a failure.

mod baresip;
mod kamailio;
mod kamailio_nlb;
mod linphone;
mod sipp;

use std::env;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode, Stdio};

/// One test: its claim, the program it needs with that program's package, and what it does.
type Case = (&'static str, &'static str, &'static str, fn());

const CASES: &[Case] = &[
    (
        "sipp_registers_renews_and_logs_off",
        "sipp",
        "sip-tester",
        sipp::registers_renews_and_logs_off,
    ),
    (
        "sipp_publishes_refreshes_modifies_and_removes",
        "sipp",
        "sip-tester",
        sipp::publishes_refreshes_modifies_and_removes,
    ),
    (
        "sipp_subscribes_renews_and_unsubscribes",
        "sipp",
        "sip-tester",
        sipp::subscribes_renews_and_unsubscribes,
    ),
    ("sipp_fetches", "sipp", "sip-tester", sipp::fetches),
    (
        "two_baresips_over_udp_see_each_other",
        "baresip",
        "baresip-core",
        baresip::two_over_udp_see_each_other,
    ),
    (
        "two_baresips_over_tcp_see_each_other",
        "baresip",
        "baresip-core",
        baresip::two_over_tcp_see_each_other,
    ),
    (
        "baresip_stays_subscribed_through_a_restart_of_the_servers",
        "baresip",
        "baresip-core",
        baresip::stays_subscribed_through_a_restart_of_the_servers,
    ),
    (
        "two_linphones_over_udp_see_each_other",
        "linphonec",
        "linphone-cli",
        linphone::two_over_udp_see_each_other,
    ),
    (
        "two_linphones_over_tcp_see_each_other",
        "linphonec",
        "linphone-cli",
        linphone::two_over_tcp_see_each_other,
    ),
    (
        "linphone_shows_the_message_of_another",
        "linphonec",
        "linphone-cli",
        linphone::a_message_of_one_is_shown_by_the_other,
    ),
    (
        "kamailio_serves_an_nlbs_handle",
        "kamailio",
        "kamailio-presence-modules",
        kamailio::serves_an_nlbs_handle,
    ),
    (
        "kamailio_says_that_a_message_finds_nobody",
        "kamailio",
        "kamailio-presence-modules",
        kamailio::says_that_a_message_finds_nobody,
    ),
    (
        "kamailio_lets_an_nlb_go_on_after_a_restart",
        "kamailio",
        "kamailio-presence-modules",
        kamailio::lets_an_nlb_go_on_after_a_restart,
    ),
    (
        "closed_at_kamailio_is_released_by_the_nlb",
        "kamailio",
        "kamailio-presence-modules",
        kamailio_nlb::closed_is_released,
    ),
    (
        "vanished_from_kamailio_is_released_by_the_nlb",
        "kamailio",
        "kamailio-presence-modules",
        kamailio_nlb::vanished_is_released,
    ),
    (
        "kamailio_relays_the_nlbs_uuid_to_a_user_at_work",
        "kamailio",
        "kamailio-presence-modules",
        kamailio_nlb::a_user_at_work_is_sent_the_uuid,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|it| name.contains(*it));
    let wanted = CASES.iter().filter(|(name, ..)| is_wanted(name));
    if arguments.iter().any(|argument| argument == "--list") {
        wanted.for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let must_have_all = env::var("CI").is_ok_and(|ci| ci == "true");
    let mut failures = 0;
    for (name, program, package, test) in wanted {
        if !is_there(program) {
            println!("left out: {name} (install {package})");
            failures += u32::from(must_have_all);
            continue;
        }
        // The panic has printed what was wrong.
        let is_well = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if is_well { "ok" } else { "FAILED" });
        failures += u32::from(!is_well);
    }
    println!("{failures} failed");
    ExitCode::from(u8::from(failures > 0))
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("-v").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // Kamailio's own package has no presence server.
    command.status().is_ok() && (program != "kamailio" || kamailio::has_presence())
}
