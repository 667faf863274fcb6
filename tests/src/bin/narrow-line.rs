//! A slow, long and lossy line between two network namespaces, in place of netem where the kernel has none.
//!
//! Makes two TUN devices, prints `ready`, and carries IP packets between them until it is killed. A device can be moved to
//! another namespace meanwhile. Needs root.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sim::Bottleneck;
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

/// More than any MTU here.
const MAX_PACKET_LEN: usize = 2048;

/// Carries IP packets over a line that is slow, long and loses some.
#[derive(Debug, Parser)]
struct Options {
    /// Name of the TUN device on this side.
    #[arg(long)]
    near: String,
    /// Name of the TUN device on the other side.
    #[arg(long)]
    far: String,
    /// Rate towards the other side.
    #[arg(long, value_name = "KBIT/S")]
    down: u64,
    /// Rate towards this side.
    #[arg(long, value_name = "KBIT/S")]
    up: u64,
    /// Time on the way, each way, without the queue.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// Longest time in the queue, each way; what finds it full is lost.
    #[arg(long, value_name = "MS", default_value_t = 300)]
    queue: u64,
    /// Packets lost on the way, of a hundred.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,
    /// Which packets are lost.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One direction.
struct Line {
    bottleneck: Bottleneck,
    delay: Duration,
    loss: f64,
    random: StdRng,
    /// In order of their arrival.
    under_way: VecDeque<(Instant, Vec<u8>)>,
}

impl Line {
    fn new(options: &Options, kbps: u64, seed: u64) -> Self {
        let queue_bytes = usize::try_from(kbps * options.queue / 8).unwrap_or(usize::MAX).max(MAX_PACKET_LEN);
        Self {
            bottleneck: Bottleneck::new(kbps * 1000, queue_bytes),
            delay: Duration::from_millis(options.delay),
            loss: options.loss / 100.0,
            random: StdRng::seed_from_u64(seed),
            under_way: VecDeque::new(),
        }
    }

    fn take(&mut self, packet: &[u8], now: Instant) {
        // Lost behind the queue: the line was busy with it.
        let Some(left) = self.bottleneck.pass(now.into_std(), packet.len()) else { return };
        if !self.random.random_bool(self.loss) {
            self.under_way.push_back((Instant::from_std(left + self.delay), packet.to_vec()));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a program that makes time pass")]
    async fn carry(mut self, from: &Tun, to: &Tun) -> io::Result<()> {
        let mut packet = [0; MAX_PACKET_LEN];
        loop {
            let next = self.under_way.front().map(|(arrival, _)| *arrival);
            tokio::select! {
                len = from.recv(&mut packet) => self.take(packet.get(..len?).unwrap_or_default(), Instant::now()),
                () = arrival(next) => {
                    if let Some((_, packet)) = self.under_way.pop_front() {
                        // A device that is down or has no address loses it, as a line does.
                        drop(to.send(&packet).await);
                    }
                }
            }
        }
    }
}

/// Waits for that time; without one for ever.
async fn arrival(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    anyhow::ensure!((0.0..=100.0).contains(&options.loss), "--loss is 0 to 100");
    let open = |name: &str| -> anyhow::Result<Tun> {
        let devices = Tun::builder().name(name).build();
        devices.ok().and_then(|mut devices| devices.pop()).with_context(|| format!("cannot make the TUN device {name}"))
    };
    let (near, far) = (open(&options.near)?, open(&options.far)?);
    println!("ready");
    let down = Line::new(&options, options.down, options.seed);
    let up = Line::new(&options, options.up, options.seed.wrapping_add(1));
    tokio::try_join!(down.carry(&near, &far), up.carry(&far, &near)).context("a device is gone")?;
    Ok(())
}
