/* client.rs: a miner on the reference implementation's channels, codec and messages, on our pool:
 * a list of stories, each on connections of its own. The pool (pool_peer.c) is a child; it changes
 * jobs when it is told to. */
use crate::channel::{Between, Channel};
use crate::wire::{self, debug, fault, text, Frame, Link, Outcome};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use stratum_core::common_messages_sv2::{Protocol, SetupConnectionOwned};
use stratum_core::extensions_sv2::{RequestExtensionsOwned, UserIdentity};
use stratum_core::mining_sv2::*;
use stratum_core::parsers_sv2::*;

pub const PATIENCE: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(300); /* In which something would have come. */
const STANDARD_JOBS: u32 = 1;
const WORK_SELECTION: u32 = 2;
const VERSION_ROLLING: u32 = 4;
const WORKER_EXTENSION: u16 = 2;
const RATE: f32 = 20.0; /* Asks for shares of 64 hashes. */

/** What a connection has heard, in order, but for shares. */
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Job {
        channel: u32,
        job: u32,
        future: bool,
        extended: bool,
    },
    Tip {
        channel: u32,
        job: u32,
    },
    Target {
        channel: u32,
    },
    Reconnect,
}

/** pool_peer.c, which takes commands; or any pool that runs already. */
pub struct Pool {
    child: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
    address: String,
    key: String,
}

impl Pool {
    fn start(program: &str) -> Outcome<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let commands = child.stdin.take().ok_or("no pipe")?;
        let mut words = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut line = String::new();
        words.read_line(&mut line)?;
        let parts: Vec<&str> = line.split_whitespace().collect();
        let ["listening", port, key] = parts[..] else {
            return fault("the pool does not listen");
        };
        let (address, key) = (format!("127.0.0.1:{port}"), key.to_string());
        Ok(Self {
            child: Some((child, commands, words)),
            address,
            key,
        })
    }

    fn tell(&mut self, command: &str) -> Outcome<()> {
        let (_, commands, words) = self.child.as_mut().ok_or("this pool takes no commands")?;
        let mut line = String::new();
        writeln!(commands, "{command}")?;
        words.read_line(&mut line)?;
        if line != "done\n" {
            return fault(format!("the pool said {line:?} to {command}"));
        }
        Ok(())
    }

    /** The pool's own counts by name. */
    fn end(self) -> Outcome<HashMap<String, u64>> {
        let (mut child, mut commands, words) = self.child.ok_or("this pool takes no commands")?;
        let mut counts = HashMap::new();
        writeln!(commands, "end")?;
        for line in words.lines() {
            let line = line?;
            let (name, count) = line.rsplit_once(' ').ok_or("no count")?;
            counts.insert(name.to_string(), count.parse()?);
        }
        if !child.wait()?.success() {
            return fault("the pool has failed");
        }
        Ok(counts)
    }
}

/** One connection of a miner. */
pub struct Miner {
    link: Link,
    channels: Vec<Channel>,
    heard: Vec<Heard>,
    request: u32,
}

fn setup(flags: u32) -> SetupConnectionOwned {
    SetupConnectionOwned {
        protocol: Protocol::MiningProtocol,
        min_version: 2,
        max_version: 2,
        flags,
        endpoint_host: text("127.0.0.1"),
        endpoint_port: 0,
        vendor: text("interop"),
        hardware_version: text(""),
        firmware: text(""),
        device_id: text(""),
    }
}

impl Miner {
    fn connect(pool: &Pool, chopped: bool) -> Outcome<Self> {
        let link = Link::connect(&pool.address, &pool.key, chopped)?;
        Ok(Self {
            link,
            channels: Vec::new(),
            heard: Vec::new(),
            request: 0,
        })
    }

    /** Connected and set up. */
    fn enter(pool: &Pool, flags: u32) -> Outcome<Self> {
        let mut miner = Self::connect(pool, false)?;
        miner.set_up(flags)?;
        Ok(miner)
    }

    fn set_up(&mut self, flags: u32) -> Outcome<()> {
        self.link
            .send(CommonMessagesOwned::SetupConnection(setup(flags)))?;
        match self.next()?.parse()? {
            AnyMessage::Common(CommonMessages::SetupConnectionSuccess(success)) => expect(
                success.used_version == 2 && success.flags == 0,
                "version 2, no flags",
            ),
            other => fault(format!("not set up: {other}")),
        }
    }

    fn next(&mut self) -> Outcome<Frame> {
        self.link
            .receive(Instant::now() + PATIENCE)?
            .ok_or_else(|| "silence".into())
    }

    fn members(&mut self, id: u32) -> impl Iterator<Item = &mut Channel> {
        self.channels
            .iter_mut()
            .filter(move |channel| channel.id == id || channel.group == id)
    }

    fn on_mining(&mut self, message: MiningOwned) -> Outcome<()> {
        match message {
            MiningOwned::NewMiningJob(job) => {
                let (channel, id, future) = (job.channel_id, job.job_id, job.is_future());
                self.heard.push(Heard::Job {
                    channel,
                    job: id,
                    future,
                    extended: false,
                });
                self.channel(channel)?.on_standard_job(job)
            }
            MiningOwned::NewExtendedMiningJob(job) => {
                let (channel, id, future) = (job.channel_id, job.job_id, job.is_future());
                self.heard.push(Heard::Job {
                    channel,
                    job: id,
                    future,
                    extended: true,
                });
                self.members(channel)
                    .try_for_each(|member| member.on_extended_job(job.clone()))
            }
            MiningOwned::SetNewPrevHash(tip) => {
                self.heard.push(Heard::Tip {
                    channel: tip.channel_id,
                    job: tip.job_id,
                });
                self.members(tip.channel_id)
                    .try_for_each(|member| member.on_tip(tip.clone()))
            }
            MiningOwned::SetTarget(set) => {
                self.heard.push(Heard::Target {
                    channel: set.channel_id,
                });
                let target = set.maximum_target.to_array();
                self.channel(set.channel_id)?.on_target(target)
            }
            MiningOwned::SubmitSharesSuccess(success) => {
                self.channel(success.channel_id)?.on_success(&success)
            }
            MiningOwned::SubmitSharesError(error) => match self.channel(error.channel_id) {
                Ok(channel) => channel.on_error(&error),
                Err(other) => Err(other),
            },
            other => fault(format!("unexpected: {other}")),
        }
    }

    fn hear(&mut self, mut frame: Frame) -> Outcome<()> {
        match frame.parse()?.into_owned() {
            AnyMessageOwned::Mining(message) => self.on_mining(message),
            AnyMessageOwned::Common(CommonMessagesOwned::Reconnect(_)) => {
                self.heard.push(Heard::Reconnect);
                Ok(())
            }
            other => fault(format!("unexpected: {other}")),
        }
    }

    /** Hear until it holds. */
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Outcome<()> {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            match self.link.receive(end)? {
                Some(frame) => self.hear(frame)?,
                None => return fault(format!("waited in vain for {what}: {:?}", self.heard)),
            }
        }
        Ok(())
    }

    /** Hear what else comes; there should be nothing more. */
    fn listen(&mut self) -> Outcome<()> {
        let end = Instant::now() + QUIET;
        while let Some(frame) = self.link.receive(end)? {
            self.hear(frame)?;
        }
        Ok(())
    }

    fn channel(&mut self, id: u32) -> Outcome<&mut Channel> {
        let found = self.channels.iter_mut().find(|channel| channel.id == id);
        found.ok_or_else(|| format!("no channel {id}").into())
    }

    /** Open a channel, and mine nothing yet. Returns its place. */
    fn open(&mut self, user: &str, extended: Option<u16>) -> Outcome<usize> {
        self.request += 1;
        let (request_id, user_identity) = (self.request, text(user));
        let (nominal_hash_rate, max_target) = (RATE, [0xff; 32].into());
        self.link.send(match extended {
            None => MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
                request_id,
                user_identity,
                nominal_hash_rate,
                max_target,
            }),
            Some(size) => MiningOwned::OpenExtendedMiningChannel(OpenExtendedMiningChannelOwned {
                request_id,
                user_identity,
                nominal_hash_rate,
                max_target,
                min_extranonce_size: size,
            }),
        })?;
        let channel = loop {
            let mut frame = self.next()?;
            match frame.parse()?.into_owned() {
                AnyMessageOwned::Mining(MiningOwned::OpenStandardMiningChannelSuccess(open)) => {
                    break Channel::standard(&open)?
                }
                AnyMessageOwned::Mining(MiningOwned::OpenExtendedMiningChannelSuccess(open)) => {
                    break Channel::extended(&open)?
                }
                AnyMessageOwned::Mining(MiningOwned::OpenMiningChannelError(error)) => {
                    return fault(format!("refused: {}", error.error_code.as_utf8_or_hex()))
                }
                AnyMessageOwned::Mining(message) => self.on_mining(message)?,
                other => return fault(format!("unexpected: {other}")),
            }
        };
        let place = self.channels.len();
        self.channels.push(channel);
        self.until("a first job", |miner| miner.channels[place].job().is_some())?;
        Ok(place)
    }

    fn submit(&mut self, place: usize, between: Between, worker: Option<&str>) -> Outcome<u32> {
        let channel = &mut self.channels[place];
        let share = channel.mine(between)?;
        match worker {
            None => self.link.send(share.message)?,
            Some(name) => {
                let tlv = UserIdentity::new(name).map_err(debug("worker"))?.to_tlv();
                let list = TlvList::from_slice(&[tlv.map_err(debug("worker"))?]);
                let bytes = list
                    .map_err(debug("worker"))?
                    .build_frame_bytes_with_tlvs(share.message);
                self.link.send_bytes(bytes.map_err(debug("worker"))?)?
            }
        }
        Ok(share.sequence)
    }

    /** Mine `count` shares that the pool must accept. */
    fn mine(&mut self, place: usize, count: u32, worker: Option<&str>) -> Outcome<()> {
        let wanted = self.channels[place].acknowledged + count;
        let mut last = 0;
        for _ in 0..count {
            last = self.submit(place, Between::Target, worker)?;
        }
        self.until("Success", |miner| {
            miner.channels[place].acknowledged == wanted || !miner.channels[place].errors.is_empty()
        })?;
        let channel = &self.channels[place];
        let said = format!(
            "no rejects of job {:?}: {:?}, after {:?}",
            channel.job(),
            channel.errors,
            self.heard
        );
        expect(channel.errors.is_empty(), &said)?;
        expect(
            channel.last_sequence == last,
            "Success names the last share",
        )
    }

    /** The code by which the pool rejects a share. */
    fn rejected(&mut self, place: usize, sequence: u32) -> Outcome<String> {
        self.until("an Error", |miner| {
            miner.channels[place].errors.contains_key(&sequence)
        })?;
        let code = self.channels[place].errors.remove(&sequence);
        code.ok_or_else(|| "no code".into())
    }
}

fn expect(holds: bool, what: &str) -> Outcome<()> {
    if holds {
        return Ok(());
    }
    fault(format!("expected: {what}"))
}

/* ------------------------------------------------------------- stories */

fn refused_setup(
    pool: &Pool,
    message: SetupConnectionOwned,
    flags: u32,
    code: &str,
) -> Outcome<()> {
    let mut miner = Miner::connect(pool, false)?;
    miner
        .link
        .send(CommonMessagesOwned::SetupConnection(message))?;
    match miner.next()?.parse()? {
        AnyMessage::Common(CommonMessages::SetupConnectionError(error)) => {
            let said = error.error_code.as_utf8_or_hex();
            expect(
                error.flags == flags && said == code,
                &format!("{flags:x} {code}, not {error}"),
            )?;
        }
        other => return fault(format!("not refused: {other}")),
    }
    expect(
        miner.link.ends(Instant::now() + PATIENCE),
        "the connection ends",
    )
}

/** Every combination of the three flags, all flags at once, and what is no mining of version 2. */
fn flags(pool: &mut Pool) -> Outcome<()> {
    for flags in 0..8 {
        if flags & WORK_SELECTION == 0 {
            Miner::enter(pool, flags)?.link.close();
        } else {
            refused_setup(
                pool,
                setup(flags),
                WORK_SELECTION,
                "unsupported-feature-flags",
            )?;
        }
    }
    let lacking = !(STANDARD_JOBS | VERSION_ROLLING);
    refused_setup(pool, setup(u32::MAX), lacking, "unsupported-feature-flags")?;
    let other = Protocol::JobDeclarationProtocol;
    let message = SetupConnectionOwned {
        protocol: other,
        ..setup(0)
    };
    refused_setup(pool, message, 0, "unsupported-protocol")?;
    let message = SetupConnectionOwned {
        min_version: 3,
        max_version: 3,
        ..setup(0)
    };
    refused_setup(pool, message, 0, "protocol-version-mismatch")
}

fn ask(miner: &mut Miner, wanted: &[u16]) -> Outcome<ExtensionsNegotiationOwned> {
    let request = RequestExtensionsOwned {
        request_id: 77,
        requested_extensions: wanted.to_vec().try_into().map_err(debug("list"))?,
    };
    miner.link.send(ExtensionsOwned::ExtensionsNegotiation(
        ExtensionsNegotiationOwned::RequestExtensions(request),
    ))?;
    match miner.next()?.parse()?.into_owned() {
        AnyMessageOwned::Extensions(ExtensionsOwned::ExtensionsNegotiation(answer)) => Ok(answer),
        other => fault(format!("no answer to RequestExtensions: {other}")),
    }
}

fn extensions(pool: &mut Pool) -> Outcome<()> {
    let mut miner = Miner::enter(pool, 0)?;
    match ask(&mut miner, &[WORKER_EXTENSION, 0x0777])? {
        ExtensionsNegotiationOwned::RequestExtensionsSuccess(success) => expect(
            success.request_id == 77
                && success.supported_extensions.as_slice() == [WORKER_EXTENSION],
            "extension 2 alone",
        )?,
        other => return fault(format!("{other}")),
    }
    let place = miner.open("alice.first", Some(8))?;
    miner.mine(place, 3, Some("rig-7"))?;
    miner.mine(place, 2, None)?;
    let mut other = Miner::enter(pool, 0)?;
    match ask(&mut other, &[0x0777, 0x0001])? {
        ExtensionsNegotiationOwned::RequestExtensionsError(error) => expect(
            error.unsupported_extensions.as_slice() == [0x0777, 0x0001]
                && error.required_extensions.is_empty(),
            "both unsupported, none required",
        )?,
        other => return fault(format!("{other}")),
    }
    /* A TLV that was not negotiated is no part of the share. */
    let place = other.open("bob.first", Some(4))?;
    other.mine(place, 2, Some("rig-8"))
}

/** A miner that wants standard jobs: future, job, tip, each for the channel itself. */
fn standard(pool: &mut Pool) -> Outcome<()> {
    let mut miner = Miner::enter(pool, STANDARD_JOBS)?;
    let place = miner.open("carol.standard", None)?;
    let id = miner.channels[place].id;
    expect(miner.channels[place].group == 0, "no group")?;
    miner.mine(place, 5, None)?;
    let job = |job, future| Heard::Job {
        channel: id,
        job,
        future,
        extended: false,
    };
    let first = miner.channels[place].job().ok_or("no job")?;
    let tip = |job| Heard::Tip { channel: id, job };
    expect(
        miner.heard == [job(first, true), tip(first)],
        "a future job and its tip",
    )?;
    pool.tell("job")?;
    miner.until("a job", |miner| miner.heard.len() == 3)?;
    miner.mine(place, 5, None)?;
    pool.tell("tip")?;
    miner.until("a tip", |miner| miner.heard.len() == 5)?;
    let stale = miner.submit(place, Between::StaleJob, None)?;
    expect(
        miner.rejected(place, stale)? == "stale-share",
        "stale-share",
    )?;
    miner.mine(place, 5, None)?;
    miner.listen()?;
    let expected = [
        job(first, true),
        tip(first),
        job(first + 1, false),
        job(first + 2, true),
        tip(first + 2),
    ];
    expect(
        miner.heard == expected,
        &format!("{expected:?}, not {:?}", miner.heard),
    )
}

/** Channels of both kinds in one connection: their later jobs come once, for the group. */
fn groups(pool: &mut Pool) -> Outcome<()> {
    let mut miner = Miner::enter(pool, 0)?;
    let a = miner.open("dave.extended", Some(8))?;
    let b = miner.open("dave.standard", None)?;
    let long = miner.open("dave.long", Some(24))?;
    let group = miner.channels[a].group;
    expect(
        group != 0 && miner.channels[b].group == group,
        "one group of one length",
    )?;
    expect(
        miner.channels[long].group != group,
        "another length, another group",
    )?;
    for place in [a, b, long] {
        miner.mine(place, 3, None)?;
    }
    for (command, messages) in [("job", 2), ("tip", 4), ("job", 2)] {
        let before = miner.heard.len();
        pool.tell(command)?;
        miner.until(command, |miner| miner.heard.len() == before + messages)?;
        miner.listen()?;
        expect(
            miner.heard.len() == before + messages,
            "one message for each group",
        )?;
        let to_channels = |heard: &Heard| match heard {
            Heard::Job {
                channel, extended, ..
            } => !extended || channel >> 31 == 0,
            Heard::Tip { channel, .. } => channel >> 31 == 0,
            _ => true,
        };
        expect(
            !miner.heard[before..].iter().any(to_channels),
            "extended jobs for groups",
        )?;
        for place in [a, b, long] {
            miner.mine(place, 3, None)?;
        }
    }
    Ok(())
}

/** A new target holds for later jobs; the job that is mined keeps its own. */
fn targets(pool: &mut Pool) -> Outcome<()> {
    let mut miner = Miner::enter(pool, STANDARD_JOBS)?;
    let place = miner.open("erin.target", None)?;
    let before = miner.channels[place].target();
    miner
        .link
        .send(MiningOwned::UpdateChannel(UpdateChannelOwned {
            channel_id: miner.channels[place].id,
            nominal_hash_rate: 100.0 * RATE,
            maximum_target: [0xff; 32].into(),
        }))?;
    miner.until("SetTarget", |miner| {
        miner.channels[place].target() != before
    })?;
    expect(
        miner.channels[place].target() < before,
        "a harder target for a faster miner",
    )?;
    let old = miner.submit(place, Between::JobAndNewTarget, None)?;
    miner.until("Success", |miner| {
        miner.channels[place].last_sequence == old
    })?;
    pool.tell("job")?;
    let heard = miner.heard.len();
    miner.until("a job", |miner| miner.heard.len() > heard)?;
    let easy = miner.submit(place, Between::TargetAnd(before), None)?;
    expect(
        miner.rejected(place, easy)? == "difficulty-too-low",
        "difficulty-too-low",
    )?;
    miner.mine(place, 2, None)
}

fn close_channel(miner: &mut Miner, id: u32) -> Outcome<()> {
    miner
        .link
        .send(MiningOwned::CloseChannel(CloseChannelOwned {
            channel_id: id,
            reason_code: text("done"),
        }))
}

fn closing(pool: &mut Pool) -> Outcome<()> {
    let mut miner = Miner::enter(pool, 0)?;
    let a = miner.open("frank.a", Some(8))?;
    let b = miner.open("frank.b", None)?;
    let long = miner.open("frank.long", Some(16))?;
    let (first, group) = (miner.channels[a].id, miner.channels[b].group);
    miner.mine(a, 1, None)?;
    close_channel(&mut miner, first)?;
    let late = miner.submit(a, Between::Target, None)?;
    expect(
        miner.rejected(a, late)? == "invalid-channel-id",
        "invalid-channel-id",
    )?;
    miner.mine(b, 2, None)?;
    close_channel(&mut miner, group)?;
    let late = miner.submit(b, Between::Target, None)?;
    expect(
        miner.rejected(b, late)? == "invalid-channel-id",
        "the group is closed",
    )?;
    miner.mine(long, 2, None)?;
    let again = miner.open("frank.again", None)?;
    expect(
        miner.channels[again].id != first,
        "ids are not given again at once",
    )?;
    miner.mine(again, 1, None)
}

/** Lost connections, and Reconnect: the same miner comes back to another part of the search. */
fn reconnecting(pool: &mut Pool) -> Outcome<()> {
    let mut prefixes = Vec::new();
    for _ in 0..3 {
        let mut miner = Miner::enter(pool, 0)?;
        let place = miner.open("grace.again", Some(8))?;
        miner.mine(place, 2, None)?;
        prefixes.push(miner.channels[place].prefix.clone());
        miner.link.close();
    }
    prefixes.dedup();
    expect(prefixes.len() == 3, "a prefix of its own each time")?;
    let mut miner = Miner::enter(pool, 0)?;
    let place = miner.open("grace.again", Some(8))?;
    pool.tell("move")?;
    miner.until("Reconnect", |miner| miner.heard.contains(&Heard::Reconnect))?;
    let mut next = Miner::enter(pool, 0)?;
    let there = next.open("grace.again", Some(8))?;
    expect(
        next.channels[there].prefix != miner.channels[place].prefix,
        "another prefix",
    )?;
    next.mine(there, 1, None)
}

/** Frames that no miner needs end their connection, and nobody else's. */
fn oversized(pool: &mut Pool) -> Outcome<()> {
    let mut witness = Miner::enter(pool, 0)?;
    let place = witness.open("heidi.witness", Some(8))?;
    for bytes in [2049usize, 65536, 200_000] {
        let mut miner = Miner::enter(pool, 0)?;
        let mut frame = vec![0; 6 + bytes];
        frame[2] = MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL;
        frame[3..6].copy_from_slice(&(bytes as u32).to_le_bytes()[..3]);
        let _ = miner.link.send_bytes(frame); /* It may end while we write. */
        expect(
            miner.link.ends(Instant::now() + PATIENCE),
            "the connection ends",
        )?;
        witness.mine(place, 1, None)?;
    }
    Ok(())
}

/** Every byte in a segment of its own; then many frames in one write. */
fn fragments(pool: &mut Pool) -> Outcome<()> {
    let mut miner = Miner::connect(pool, true)?;
    miner.set_up(0)?;
    let place = miner.open("ivan.chopped", Some(8))?;
    miner.mine(place, 5, None)?;
    pool.tell("tip")?;
    let heard = miner.heard.len();
    miner.until("a tip", |miner| miner.heard.len() == heard + 2)?;
    miner.mine(place, 5, None)?;
    miner.link.chopped = false;
    let wanted = miner.channels[place].acknowledged + 200;
    miner.link.hold();
    for _ in 0..200 {
        miner.submit(place, Between::Target, None)?;
    }
    miner.link.release()?;
    miner.until("200 at once", |miner| {
        miner.channels[place].acknowledged == wanted
    })
}

fn wrong_key(pool: &mut Pool) -> Outcome<()> {
    match Link::connect(&pool.address, wire::OTHER_PUBLIC, false) {
        Err(_) => Ok(()),
        Ok(_) => fault("a certificate of another authority was believed"),
    }
}

/** All of a connection's channels build on this block. */
fn meet(miner: &mut Miner, block: [u8; 32]) -> Outcome<()> {
    miner.until("the next tip", |miner| {
        miner
            .channels
            .iter()
            .all(|channel| channel.tip() == Some(block))
    })
}

/** Solve a block on this channel: it must be what the pool builds on next. */
fn solve(miner: &mut Miner, place: usize) -> Outcome<[u8; 32]> {
    let sequence = miner.submit(place, Between::Block, None)?;
    let block = miner.channels[place].hash;
    miner.until("Success", |miner| {
        miner.channels[place].last_sequence == sequence
    })?;
    meet(miner, block)?;
    Ok(block)
}

/** Blocks from both kinds of channel, short and long extranonces, with shares before and after. */
fn blocks(pool: &mut Pool) -> Outcome<()> {
    let mut grouped = Miner::enter(pool, 0)?;
    let mut alone = Miner::enter(pool, STANDARD_JOBS)?;
    for (user, size) in [
        ("judy.short", Some(8)),
        ("judy.long", Some(24)),
        ("judy.std", None),
    ] {
        grouped.open(user, size)?;
    }
    alone.open("judy.alone", None)?;
    for place in [0, 1, 2, 0] {
        grouped.mine(place, 10, None)?;
        let block = solve(&mut grouped, place)?;
        meet(&mut alone, block)?;
        alone.mine(0, 10, None)?;
    }
    let block = solve(&mut alone, 0)?;
    meet(&mut grouped, block)?;
    grouped.mine(1, 3, None)?;
    let sum = |miner: &Miner| miner.channels.iter().map(|c| c.acknowledged).sum::<u32>();
    println!("judy {} blocks 5", sum(&grouped) + sum(&alone));
    Ok(())
}

type Story = fn(&mut Pool) -> Outcome<()>;
const STORIES: [(&str, Story); 10] = [
    ("flags", flags),
    ("extensions", extensions),
    ("standard", standard),
    ("groups", groups),
    ("targets", targets),
    ("closing", closing),
    ("reconnecting", reconnecting),
    ("oversized", oversized),
    ("fragments", fragments),
    ("wrong key", wrong_key),
];

/* Those that need no commands, for a whole owm-pool with a source of blocks behind it. */
const PROGRAM_STORIES: [(&str, Story); 6] = [
    ("flags", flags),
    ("extensions", extensions),
    ("closing", closing),
    ("oversized", oversized),
    ("wrong key", wrong_key),
    ("blocks", blocks),
];

fn tell_all(pool: &mut Pool, stories: &[(&str, Story)]) -> Outcome<()> {
    wire::watch(Duration::from_secs(240));
    for (name, story) in stories {
        story(pool).map_err(|error| format!("{name}: {error}"))?;
        println!("client: {name} is as it should be");
    }
    Ok(())
}

/** On a pool that runs. */
pub fn visit(address: &str, key: &str) -> Outcome<()> {
    let (address, key) = (address.to_string(), key.to_string());
    tell_all(
        &mut Pool {
            child: None,
            address,
            key,
        },
        &PROGRAM_STORIES,
    )
}

pub fn run(program: &str) -> Outcome<()> {
    let mut pool = Pool::start(program)?;
    tell_all(&mut pool, &STORIES)?;
    let counts = pool.end()?;
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    println!("client: the pool has counted {counts:?}");
    expect(count("worker alice.rig-7") == 3, "three shares of rig-7")?;
    expect(
        count("worker alice.first") == 2,
        "two shares that name nobody",
    )?;
    expect(
        count("worker bob.first") == 2 && count("worker bob.rig-8") == 0,
        "bob's by name",
    )?;
    expect(count("rejected stale-share") == 1, "one stale share")?;
    expect(
        count("rejected difficulty-too-low") == 1,
        "one share too low",
    )?;
    expect(
        count("rejected invalid-channel-id") == 2,
        "two for closed channels",
    )
}
