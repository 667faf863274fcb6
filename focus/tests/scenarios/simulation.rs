//! Many bridges and endpoints with random joins, leaves, moves and failures: whatever happened, bridges know what they have to
//! and nothing else, each endpoint is on one, and nothing is left when all are gone.

use focus::{AdminRequest, SelectionStrategy};
use jitsi_protocol::bridge_session::BridgeSession;
use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::conference_request::ConferenceRequest;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use xmpp::jingle::Action;

use crate::cascade::cascade_with;
use crate::topology::with_tree;
use crate::world::{FakeClient, Manner, ROOM, ROOM_V1, World, relay_stats};

/// How large a world is, and how much happens in it.
struct Size {
    bridges: usize,
    endpoints: usize,
    events: usize,
    /// After which share of events everybody comes to rest, and is looked at.
    rests: f64,
}

const REGIONS: [&str; 3] = ["eu", "us", "asia"];

#[test]
fn nothing_leaks_whatever_happens() {
    let meshes = (0..200).map(|seed| run(seed, &Size { bridges: 5, endpoints: 12, events: 30, rests: 0.7 }));
    let shared = meshes.filter(|bridges| *bridges > 2).count();
    assert!(shared > 100, "most have conferences on three bridges or more: {shared}");
}

/// As the small ones, in the size of a large deployment: minutes in a debug build.
#[test]
#[ignore = "takes minutes in a debug build"]
fn nothing_leaks_among_50_bridges_with_1000_endpoints() {
    let seeds = std::env::var("TERANGA_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    for seed in 0..seeds {
        let bridges = run(seed, &Size { bridges: 50, endpoints: 1000, events: 1000, rests: 0.05 });
        assert!(bridges > 10, "seed {seed}: {bridges}");
    }
}

/// Answers how many bridges the conference had at most.
fn run(seed: u64, size: &Size) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let strategies = [
        SelectionStrategy::SplitBridge,
        SelectionStrategy::RegionBased,
        SelectionStrategy::IntraRegion,
        SelectionStrategy::Visitor,
    ];
    let strategy = strategies[seed as usize % strategies.len()];
    let mut world = cascade_with(strategy, &[], |settings| {
        if strategy == SelectionStrategy::Visitor {
            with_tree(settings);
            settings.visitors.as_mut().unwrap().max_participants = size.endpoints / 2;
        }
        settings.bridge.max_participants = Some((size.endpoints / size.bridges).max(3));
        settings.redistribution.is_enabled = random.random_bool(0.5);
    });
    world.is_large = true;
    for number in 0..size.bridges {
        add_bridge(&mut world, number, &mut random);
    }
    // Half of them are there when it begins.
    for number in 0..size.endpoints / 2 {
        join(&mut world, number, size, &mut random);
    }
    let mut largest = settle(&mut world, &format!("seed {seed} began"));
    for step in 0..size.events {
        let event = happen(&mut world, size, &mut random);
        // Whoever was offered something takes it, or is too slow for what comes next.
        if random.random_bool(size.rests) {
            largest = largest.max(settle(&mut world, &format!("seed {seed}, step {step}: {event}")));
        }
    }
    world.bridges.values_mut().for_each(|bridge| bridge.manner = Manner::Fine);
    // Time enough for what was not answered, for failures to be forgotten, and for draining bridges.
    for _ in 0..6 {
        world.seconds(30);
        settle(&mut world, &format!("seed {seed} at its end"));
    }
    let nicks: Vec<String> = world.clients.keys().cloned().collect();
    nicks.iter().for_each(|nick| world.leave(nick));
    world.seconds(60);
    for (nick, bridge) in &world.bridges {
        assert!(bridge.meetings.is_empty(), "seed {seed} leaves {:?} on {nick}", bridge.meetings);
    }
    assert_eq!(world.focus.metrics().conferences.get(), 0, "seed {seed}");
    largest
}

/// Everybody accepts what they were offered; then bridges know what they have to.
fn settle(world: &mut World, what: &str) -> usize {
    let nicks: Vec<String> = world.clients.keys().cloned().collect();
    for nick in nicks {
        let client = world.client(&nick);
        if client.has_offer() && client.sent.is_empty() {
            // One that is over by now, or was taken before, is refused.
            let _ = if client.role == "visitor" { world.watch(&nick) } else { world.accept(&nick) };
        }
        // Only the last one is of interest from now on.
        let client = world.client(&nick);
        if let Some(last) = client.told.iter().rposition(|told| told.action == Action::SessionInitiate) {
            client.told.drain(..last);
        }
    }
    let is_quiet = world.bridges.values().all(|bridge| matches!(bridge.manner, Manner::Fine));
    if is_quiet { world.check_mesh(what) } else { 0 }
}

fn add_bridge(world: &mut World, number: usize, random: &mut StdRng) {
    let nick = format!("jvb-{number}");
    let stats =
        BridgeStats { stress_level: Some(random.random_range(0.0..0.7)), ..relay_stats(&nick, REGIONS[number % 3]) };
    world.add_bridge_with(&nick, stats);
}

fn join(world: &mut World, number: usize, size: &Size, random: &mut StdRng) {
    let nick = format!("{number:08x}");
    // In large conferences clients have the sources of others from their bridges, or would hear of little else.
    let (client, caps) = if size.endpoints > 100 {
        (FakeClient::rewriting(&nick), "rewriting")
    } else {
        (FakeClient::new(&nick), "all")
    };
    let region = REGIONS.iter().choose(random).map(|region| (*region).to_owned());
    let mut request = ConferenceRequest::new(ROOM.parse().unwrap());
    request.properties.insert("visitors-version".to_owned(), "1".to_owned());
    request.properties.insert("visitor".to_owned(), random.random_bool(0.3).to_string());
    let answer = world.request_with(request).and_then(Result::ok);
    let is_visitor = answer.is_some_and(|answer| answer.vnode.is_some());
    let (room, role) = if is_visitor { (ROOM_V1, "visitor") } else { (ROOM, "participant") };
    let (room, caps) = (room.to_owned(), Some(("sha-1".to_owned(), caps.to_owned())));
    world.join_as(FakeClient { region, caps, room, role, ..client });
}

fn happen(world: &mut World, size: &Size, random: &mut StdRng) -> String {
    let number = random.random_range(0..size.endpoints);
    let nick = format!("{number:08x}");
    let bridge_number = random.random_range(0..size.bridges);
    let bridge = format!("jvb-{bridge_number}");
    let is_here = world.clients.contains_key(&nick);
    let is_up = world.bridges.contains_key(&bridge);
    match random.random_range(0..100) {
        0..45 if !is_here => {
            join(world, number, size, random);
            format!("{nick} joins")
        }
        0..25 => {
            world.leave(&nick);
            format!("{nick} leaves")
        }
        45..60 if is_here && world.client(&nick).has_offer() => {
            let client = world.client(&nick);
            let id = Some(client.bridge_session());
            let mut message = client.message(Action::SessionTerminate);
            message.extensions.push(BridgeSession { id, restart: true, ..BridgeSession::default() }.to_element());
            client.sent.clear();
            // One session too many in a minute is refused, and ends all the same.
            let _ = world.jingle(&nick, &message);
            format!("{nick} wants another session")
        }
        60..70 if is_up => {
            world.remove_bridge(&bridge);
            format!("{bridge} is gone")
        }
        60..75 => {
            if !is_up {
                add_bridge(world, bridge_number, random);
            }
            format!("{bridge} is there")
        }
        75..80 if is_up => {
            let drain = Some(random.random_bool(0.5));
            world.bridge_says(&bridge, BridgeStats { drain, ..relay_stats(&bridge, REGIONS[bridge_number % 3]) });
            format!("{bridge} drains: {drain:?}")
        }
        80..83 if is_up => {
            world.bridge_says(&bridge, BridgeStats { shutting_down: Some(true), ..BridgeStats::default() });
            world.remove_bridge(&bridge);
            format!("{bridge} shuts down")
        }
        83..86 if is_up => {
            // It takes what it is told; its answers are lost for a while.
            world.bridge(&bridge).manner = Manner::Silent;
            world.seconds(random.random_range(1..40));
            world.bridge(&bridge).manner = Manner::Fine;
            // What was not answered until then never will be.
            world.seconds(16);
            format!("{bridge} was silent for a while")
        }
        86..93 => {
            let conference = ROOM.to_owned();
            let _ = world.admin(&AdminRequest::MoveEndpoint { conference, endpoint: nick.clone(), bridge: None });
            format!("{nick} is to move")
        }
        93..96 if is_up => {
            let _ = world.admin(&AdminRequest::MoveEndpoints { bridge: bridge.clone(), conference: None, count: 3 });
            format!("three are to leave {bridge}")
        }
        _ => {
            let seconds = random.random_range(1..20);
            world.seconds(seconds);
            format!("{seconds} seconds pass")
        }
    }
}
