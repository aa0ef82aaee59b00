/* server.rs: a pool on the reference implementation's channels, for one miner: it gives jobs from
 * templates of its own, in stages, and judges every share by channels_sv2.
 *
 *   future   a future job, and SetNewPrevHash that names it
 *   job      another job on the same tip
 *   tip      a new tip: future job and SetNewPrevHash
 *   target   SetTarget four times as hard, then a job for which it holds
 *   large    a job with a coinbase of many outputs, sent byte by byte
 *
 * A stage is over when enough shares of its job were accepted. Standard channels get jobs of their
 * own, extended ones their first and then those of a group channel, as the reference pool does. */
use crate::template::{self, Tip};
use crate::wire::{self, debug, fault, text, Link, Outcome};
use channels_sv2::extranonce_manager::ExtranonceAllocator;
use channels_sv2::server::extended::ExtendedChannel;
use channels_sv2::server::group::GroupChannel;
use channels_sv2::server::share_accounting::{ShareValidationError, ShareValidationResult};
use channels_sv2::server::standard::StandardChannel;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use stratum_core::bitcoin::Target;
use stratum_core::common_messages_sv2::SetupConnectionSuccess;
use stratum_core::extensions_sv2::RequestExtensionsErrorOwned;
use stratum_core::mining_sv2::*;
use stratum_core::parsers_sv2::*;

const CHANNEL: u32 = 7;
const GROUP: u32 = 1000;
const ROLLED: u16 = 8;
const SHARES_PER_MINUTE: f32 = 900.0;
const POOL_TAG: &str = "interop";
const LATE: Duration = Duration::from_secs(1);

pub struct Options {
    pub shares: u32,
    pub seconds: u64,
    /** Answer RequestExtensions with an error, as a pool that knows none; else not at all. */
    pub answers_extensions: bool,
    /** The miner must end the connection when it has seen our certificate. */
    pub refused: bool,
}

enum Channel {
    Standard(StandardChannel),
    Extended(ExtendedChannel),
}

#[derive(Default)]
struct Summary {
    identity: String,
    accepted: u32,
    late: u32,
    updates: u32,
    extensions: Vec<u16>,
    rejected: BTreeMap<String, u32>,
    stages: Vec<(&'static str, u32)>,
}

struct Pool {
    link: Link,
    channel: Option<Channel>,
    group: GroupChannel,
    prefixes: ExtranonceAllocator,
    tip: Tip,
    template: u64,
    job: u32,
    on_job: u32,
    tip_since: Instant,
    standard_jobs: bool,
    answers_extensions: bool,
    summary: Summary,
}

fn verdict(
    result: Result<ShareValidationResult, ShareValidationError>,
) -> Outcome<Option<&'static str>> {
    use ShareValidationError::*;
    match result {
        Ok(_) => Ok(None),
        Err(Invalid(code) | Stale(code) | InvalidJobId(code) | DoesNotMeetTarget(code))
        | Err(VersionRollingNotAllowed(code) | DuplicateShare(code) | BadExtranonceSize(code)) => {
            Ok(Some(code))
        }
        Err(other) => fault(format!("the channel is broken: {other:?}")),
    }
}

impl Pool {
    fn new(link: Link, options: &Options) -> Outcome<Self> {
        let total = 3 + ROLLED as u8;
        let prefixes = ExtranonceAllocator::new(vec![0x0b, 0x5e], total, 200)
            .map_err(debug("extranonce prefixes"))?;
        let group = GroupChannel::new_for_pool(GROUP, total as usize, true, POOL_TAG.to_string())
            .map_err(debug("group"))?;
        Ok(Self {
            link,
            channel: None,
            group,
            prefixes,
            tip: Tip::first(),
            template: 0,
            job: 0,
            on_job: 0,
            tip_since: Instant::now(),
            standard_jobs: false,
            answers_extensions: options.answers_extensions,
            summary: Summary::default(),
        })
    }

    fn on_common(&mut self, message: CommonMessagesOwned) -> Outcome<()> {
        let CommonMessagesOwned::SetupConnection(setup) = message else {
            return fault("a miner sends no such message");
        };
        self.standard_jobs = setup.requires_standard_job();
        let success = SetupConnectionSuccess {
            used_version: 2,
            flags: 0,
        };
        self.link
            .send(CommonMessages::SetupConnectionSuccess(success))
    }

    fn on_extensions(&mut self, message: ExtensionsOwned) -> Outcome<()> {
        let ExtensionsOwned::ExtensionsNegotiation(ExtensionsNegotiationOwned::RequestExtensions(
            request,
        )) = message
        else {
            return fault("a miner asks for extensions and nothing else");
        };
        let asked = request.requested_extensions;
        self.summary.extensions = asked.as_slice().to_vec();
        if !self.answers_extensions {
            return Ok(());
        }
        let refusal = RequestExtensionsErrorOwned {
            request_id: request.request_id,
            unsupported_extensions: asked,
            required_extensions: vec![].try_into().map_err(debug("list"))?,
        };
        self.link.send(ExtensionsOwned::ExtensionsNegotiation(
            ExtensionsNegotiationOwned::RequestExtensionsError(refusal),
        ))
    }

    fn open_standard(&mut self, open: OpenStandardMiningChannelOwned) -> Outcome<()> {
        let prefix = self.prefixes.allocate_standard().map_err(debug("prefix"))?;
        let bytes = prefix.as_bytes().to_vec();
        self.summary.identity = open.user_identity.as_utf8_or_hex();
        let channel = StandardChannel::new_for_pool(
            CHANNEL,
            self.summary.identity.clone(),
            prefix,
            Target::from_le_bytes(open.max_target.to_array()),
            open.nominal_hash_rate,
            1,
            SHARES_PER_MINUTE,
            POOL_TAG.to_string(),
            None,
        )
        .map_err(debug("standard channel"))?;
        self.link
            .send(MiningOwned::OpenStandardMiningChannelSuccess(
                OpenStandardMiningChannelSuccessOwned {
                    request_id: open.request_id,
                    channel_id: CHANNEL,
                    target: channel.get_target().to_le_bytes().into(),
                    extranonce_prefix: bytes.try_into().map_err(debug("prefix"))?,
                    group_channel_id: if self.standard_jobs { 0 } else { GROUP },
                },
            ))?;
        self.channel = Some(Channel::Standard(channel));
        Ok(())
    }

    fn open_extended(&mut self, open: OpenExtendedMiningChannelOwned) -> Outcome<()> {
        let prefix = self
            .prefixes
            .allocate_extended(open.min_extranonce_size as usize)
            .map_err(debug("prefix"))?;
        let bytes = prefix.as_bytes().to_vec();
        self.summary.identity = open.user_identity.as_utf8_or_hex();
        let channel = ExtendedChannel::new_for_pool(
            CHANNEL,
            self.summary.identity.clone(),
            prefix,
            Target::from_le_bytes(open.max_target.to_array()),
            open.nominal_hash_rate,
            true,
            ROLLED,
            1,
            SHARES_PER_MINUTE,
            POOL_TAG.to_string(),
            None,
        )
        .map_err(debug("extended channel"))?;
        self.group
            .add_channel_id(CHANNEL, channel.get_full_extranonce_size())
            .map_err(debug("group"))?;
        self.link
            .send(MiningOwned::OpenExtendedMiningChannelSuccess(
                OpenExtendedMiningChannelSuccessOwned {
                    request_id: open.request_id,
                    channel_id: CHANNEL,
                    target: channel.get_target().to_le_bytes().into(),
                    extranonce_size: ROLLED,
                    extranonce_prefix: bytes.try_into().map_err(debug("prefix"))?,
                    group_channel_id: GROUP,
                },
            ))?;
        self.channel = Some(Channel::Extended(channel));
        Ok(())
    }

    /** As the reference pool: the new rate makes a new target at once. */
    fn on_update(&mut self, update: UpdateChannelOwned) -> Outcome<()> {
        let max = Target::from_le_bytes(update.maximum_target.to_array());
        let rate = update.nominal_hash_rate;
        self.summary.updates += 1;
        match self.channel.as_mut() {
            Some(Channel::Standard(channel)) => channel
                .update_channel(rate, Some(max))
                .map_err(debug("update"))?,
            Some(Channel::Extended(channel)) => channel
                .update_channel(rate, Some(max))
                .map_err(debug("update"))?,
            None => return fault("UpdateChannel before a channel"),
        }
        self.send_target()
    }

    fn send_target(&mut self) -> Outcome<()> {
        let target = match self.channel.as_ref() {
            Some(Channel::Standard(channel)) => *channel.get_target(),
            Some(Channel::Extended(channel)) => *channel.get_target(),
            None => return fault("no channel"),
        };
        self.link.send(MiningOwned::SetTarget(SetTargetOwned {
            channel_id: CHANNEL,
            maximum_target: target.to_le_bytes().into(),
        }))
    }

    fn settle(&mut self, sequence: u32, job: u32, code: Option<&'static str>) -> Outcome<()> {
        let Some(code) = code else {
            self.summary.accepted += 1;
            self.on_job += u32::from(job == self.job);
            return self
                .link
                .send(MiningOwned::SubmitSharesSuccess(SubmitSharesSuccess {
                    channel_id: CHANNEL,
                    last_sequence_number: sequence,
                    new_submits_accepted_count: 1,
                    new_shares_sum: 1,
                }));
        };
        /* What was on its way when the tip changed is nobody's fault. */
        if code == ERROR_CODE_SUBMIT_SHARES_STALE_SHARE && self.tip_since.elapsed() < LATE {
            self.summary.late += 1;
        } else {
            *self.summary.rejected.entry(code.to_string()).or_default() += 1;
        }
        self.link
            .send(MiningOwned::SubmitSharesError(SubmitSharesErrorOwned {
                channel_id: CHANNEL,
                sequence_number: sequence,
                error_code: text(code),
            }))
    }

    fn on_mining(&mut self, message: MiningOwned) -> Outcome<()> {
        match (message, self.channel.as_mut()) {
            (MiningOwned::OpenStandardMiningChannel(open), None) => self.open_standard(open),
            (MiningOwned::OpenExtendedMiningChannel(open), None) => self.open_extended(open),
            (MiningOwned::UpdateChannel(update), Some(_)) => self.on_update(update),
            (MiningOwned::SubmitSharesStandard(share), Some(Channel::Standard(channel))) => {
                let (sequence, job) = (share.sequence_number, share.job_id);
                let code = verdict(channel.validate_share(share))?;
                self.settle(sequence, job, code)
            }
            (MiningOwned::SubmitSharesExtended(share), Some(Channel::Extended(channel))) => {
                let (sequence, job) = (share.sequence_number, share.job_id);
                let code = verdict(channel.validate_share(share))?;
                self.settle(sequence, job, code)
            }
            (other, _) => fault(format!("unexpected here: {other}")),
        }
    }

    fn serve(&mut self, until: Instant) -> Outcome<()> {
        let Some(mut frame) = self.link.receive(until)? else {
            return fault("time is up");
        };
        match frame.parse()?.into_owned() {
            AnyMessageOwned::Common(message) => self.on_common(message),
            AnyMessageOwned::Extensions(message) => self.on_extensions(message),
            AnyMessageOwned::Mining(message) => self.on_mining(message),
            _ => fault("a message of another protocol"),
        }
    }

    /** The job of a template, to the channel alone or to its group. */
    fn send_job(&mut self, future: bool, outputs: usize, to_group: bool) -> Outcome<()> {
        self.template += 1;
        let template = template::template(self.template, future, &self.tip, outputs);
        let reward = vec![template::reward()];
        match self.channel.as_mut() {
            Some(Channel::Standard(channel)) => {
                channel
                    .on_new_template(template, reward)
                    .map_err(debug("template"))?;
                let job = match channel.get_future_job_id_from_template_id(self.template) {
                    Some(id) => channel.get_future_job(id),
                    None => channel.get_active_job(),
                };
                let job = job
                    .ok_or("the channel has no job")?
                    .get_job_message()
                    .clone();
                self.job = job.job_id;
                self.link.send(MiningOwned::NewMiningJob(job))
            }
            Some(Channel::Extended(channel)) => {
                self.group
                    .on_new_template(template, reward)
                    .map_err(debug("template"))?;
                let job = match self.group.get_future_job_id_from_template_id(self.template) {
                    Some(id) => self.group.get_future_job(id),
                    None => self.group.get_active_job(),
                };
                let job = job.ok_or("the group has no job")?.clone();
                channel
                    .on_group_channel_job(job.clone())
                    .map_err(debug("job"))?;
                let mut message = job.get_job_message().clone();
                self.job = message.job_id;
                message.channel_id = if to_group { GROUP } else { CHANNEL };
                self.link.send(MiningOwned::NewExtendedMiningJob(message))
            }
            None => fault("no channel"),
        }
    }

    fn send_tip(&mut self, to_group: bool) -> Outcome<()> {
        let tip = template::set_new_prev_hash(self.template, &self.tip);
        match self.channel.as_mut() {
            Some(Channel::Standard(channel)) => {
                channel.on_set_new_prev_hash(tip).map_err(debug("tip"))?
            }
            Some(Channel::Extended(channel)) => {
                self.group
                    .on_set_new_prev_hash(tip.clone())
                    .map_err(debug("tip"))?;
                channel.on_set_new_prev_hash(tip).map_err(debug("tip"))?
            }
            None => return fault("no channel"),
        }
        self.tip_since = Instant::now();
        self.link
            .send(MiningOwned::SetNewPrevHash(SetNewPrevHashOwned {
                channel_id: if to_group { GROUP } else { CHANNEL },
                job_id: self.job,
                prev_hash: self.tip.previous.into(),
                min_ntime: self.tip.time,
                nbits: self.tip.bits,
            }))
    }

    fn harder(&mut self) -> Outcome<()> {
        let harder = |target: &Target| template::divided(target, 4);
        match self.channel.as_mut() {
            Some(Channel::Standard(channel)) => channel
                .set_target(harder(channel.get_target()))
                .map_err(debug("target"))?,
            Some(Channel::Extended(channel)) => channel
                .set_target(harder(channel.get_target()))
                .map_err(debug("target"))?,
            None => return fault("no channel"),
        }
        self.send_target()
    }

    fn begin(&mut self, stage: &'static str) -> Outcome<()> {
        let grouped = matches!(self.channel, Some(Channel::Extended(_)));
        self.on_job = 0;
        match stage {
            "future" => {
                self.send_job(true, 1, false)?;
                self.send_tip(false)
            }
            "tip" => {
                self.tip = self.tip.next();
                self.send_job(true, 1, grouped)?;
                self.send_tip(grouped)
            }
            "target" => {
                self.harder()?;
                self.send_job(false, 1, grouped)
            }
            "large" => {
                self.link.chopped = true;
                self.send_job(false, 400, grouped)?;
                self.link.chopped = false;
                Ok(())
            }
            _ => self.send_job(false, 1, grouped),
        }
    }

    fn run(&mut self, options: &Options, until: Instant) -> Outcome<()> {
        while self.channel.is_none() {
            self.serve(until)?;
        }
        for stage in ["future", "job", "tip", "target", "large"] {
            self.begin(stage)?;
            while self.on_job < options.shares {
                self.serve(until)?;
            }
            self.summary.stages.push((stage, self.on_job));
        }
        Ok(())
    }

    fn print(&self) {
        let kind = match self.channel {
            Some(Channel::Standard(_)) => "standard",
            Some(Channel::Extended(_)) => "extended",
            None => "none",
        };
        let list = |items: Vec<String>| items.join(",");
        println!(
            "{{\"channel\":\"{kind}\",\"identity\":\"{}\",\"extensions\":{:?},\"accepted\":{},\
             \"late\":{},\"updates\":{},\"rejected\":{{{}}},\"stages\":{{{}}}}}",
            self.summary.identity,
            self.summary.extensions,
            self.summary.accepted,
            self.summary.late,
            self.summary.updates,
            list(
                self.summary
                    .rejected
                    .iter()
                    .map(|(k, n)| format!("\"{k}\":{n}"))
                    .collect()
            ),
            list(
                self.summary
                    .stages
                    .iter()
                    .map(|(k, n)| format!("\"{k}\":{n}"))
                    .collect()
            ),
        );
    }
}

fn expect_refusal(mut link: Link, until: Instant) -> Outcome<()> {
    match link.receive(until) {
        Err(_) => {
            println!("{{\"refused\":true}}");
            Ok(())
        }
        Ok(_) => fault("the miner went on with a pool that it was not told of"),
    }
}

/** The connection's own address is printed first, as "listening PORT". */
pub fn run(options: &Options) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening {}", listener.local_addr()?.port());
    let until = Instant::now() + Duration::from_secs(options.seconds);
    wire::watch(Duration::from_secs(options.seconds + 5));
    let link = Link::accept(listener.accept()?.0)?;
    if options.refused {
        return expect_refusal(link, until);
    }
    let mut pool = Pool::new(link, options)?;
    let outcome = pool.run(options, until);
    pool.print();
    outcome?;
    if !pool.summary.rejected.is_empty() {
        return fault("shares of the miner were rejected");
    }
    Ok(())
}
