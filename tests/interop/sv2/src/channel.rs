/* channel.rs: a channel of the reference implementation's client, and shares mined for it. */
use crate::wire::{debug, fault, Outcome};
use channels_sv2::client::extended::ExtendedChannel;
use channels_sv2::client::standard::StandardChannel;
use channels_sv2::extranonce_manager::ExtranoncePrefix;
use channels_sv2::merkle_root::merkle_root_from_path;
use std::collections::HashMap;
use stratum_core::bitcoin::block::{Header, Version};
use stratum_core::bitcoin::hashes::Hash;
use stratum_core::bitcoin::{BlockHash, CompactTarget, Target, TxMerkleNode};
use stratum_core::mining_sv2::*;
use stratum_core::parsers_sv2::MiningOwned;

enum Kind {
    Standard(StandardChannel),
    Extended(ExtendedChannel),
}

/** What is to be searched for. */
#[derive(Clone, Copy)]
pub enum Between {
    Target,
    /** The network's target. */
    Block,
    /** Of the job before the last tip: any hash. */
    StaleJob,
    /** Good for its job, and not for the channel's newer target. */
    JobAndNewTarget,
    /** Good for this older target, and not for its job's. */
    TargetAnd(Target),
}

pub struct Share {
    pub message: MiningOwned,
    pub sequence: u32,
}

pub struct Channel {
    pub id: u32,
    pub group: u32,
    pub prefix: Vec<u8>,
    pub acknowledged: u32,
    pub last_sequence: u32,
    pub errors: HashMap<u32, String>,
    pub hash: [u8; 32], /* Of the newest share. */
    kind: Kind,
    sequence: u32,
    nonce: u32,
    last_job: u32, /* Of the tip before. */
}

/** A job as it is mined. */
struct Work {
    job: u32,
    version: u32,
    ntime: u32,
    root: [u8; 32],
    target: Target,
    previous: [u8; 32],
    bits: u32,
    extranonce: Option<Vec<u8>>,
}

impl Channel {
    fn new(id: u32, group: u32, prefix: Vec<u8>, kind: Kind) -> Self {
        Self {
            id,
            group,
            prefix,
            acknowledged: 0,
            last_sequence: 0,
            errors: HashMap::new(),
            hash: [0; 32],
            kind,
            sequence: 0,
            nonce: 0,
            last_job: 0,
        }
    }

    pub fn standard(open: &OpenStandardMiningChannelSuccessOwned) -> Outcome<Self> {
        let prefix = open.extranonce_prefix.to_owned_bytes();
        let channel = StandardChannel::new(
            open.channel_id,
            String::new(),
            ExtranoncePrefix::from_wire(prefix.clone()).map_err(debug("prefix"))?,
            Target::from_le_bytes(open.target.to_array()),
            1.0,
            None,
        )
        .map_err(debug("standard channel"))?;
        let kind = Kind::Standard(channel);
        Ok(Self::new(
            open.channel_id,
            open.group_channel_id,
            prefix,
            kind,
        ))
    }

    pub fn extended(open: &OpenExtendedMiningChannelSuccessOwned) -> Outcome<Self> {
        let prefix = open.extranonce_prefix.to_owned_bytes();
        let channel = ExtendedChannel::new(
            open.channel_id,
            String::new(),
            ExtranoncePrefix::from_wire(prefix.clone()).map_err(debug("prefix"))?,
            Target::from_le_bytes(open.target.to_array()),
            1.0,
            true,
            open.extranonce_size,
            None,
        )
        .map_err(debug("extended channel"))?;
        let kind = Kind::Extended(channel);
        Ok(Self::new(
            open.channel_id,
            open.group_channel_id,
            prefix,
            kind,
        ))
    }

    pub fn on_standard_job(&mut self, job: NewMiningJobOwned) -> Outcome<()> {
        match &mut self.kind {
            Kind::Standard(channel) => channel.on_new_mining_job(job).map_err(debug("job")),
            Kind::Extended(_) => fault("a standard job for an extended channel"),
        }
    }

    pub fn on_extended_job(&mut self, job: NewExtendedMiningJobOwned) -> Outcome<()> {
        match &mut self.kind {
            Kind::Standard(channel) => channel.on_new_group_channel_job(job).map_err(debug("job")),
            Kind::Extended(channel) => channel
                .on_new_extended_mining_job(job)
                .map_err(debug("job")),
        }
    }

    pub fn on_tip(&mut self, tip: SetNewPrevHashOwned) -> Outcome<()> {
        self.last_job = self.job().unwrap_or(0);
        match &mut self.kind {
            Kind::Standard(channel) => channel.on_set_new_prev_hash(tip).map_err(debug("tip")),
            Kind::Extended(channel) => channel.on_set_new_prev_hash(tip).map_err(debug("tip")),
        }
    }

    pub fn on_target(&mut self, target: [u8; 32]) -> Outcome<()> {
        let target = Target::from_le_bytes(target);
        match &mut self.kind {
            Kind::Standard(channel) => channel.set_target(target).map_err(debug("target")),
            Kind::Extended(channel) => channel.set_target(target).map_err(debug("target")),
        }
    }

    pub fn on_success(&mut self, success: &SubmitSharesSuccess) -> Outcome<()> {
        self.acknowledged += success.new_submits_accepted_count;
        self.last_sequence = success.last_sequence_number;
        Ok(())
    }

    pub fn on_error(&mut self, error: &SubmitSharesErrorOwned) -> Outcome<()> {
        self.errors
            .insert(error.sequence_number, error.error_code.as_utf8_or_hex());
        Ok(())
    }

    pub fn job(&self) -> Option<u32> {
        match &self.kind {
            Kind::Standard(channel) => channel.get_active_job().map(|job| job.job_message.job_id),
            Kind::Extended(channel) => channel.get_active_job().map(|job| job.job_message.job_id),
        }
    }

    /** The block that is built on. */
    pub fn tip(&self) -> Option<[u8; 32]> {
        match &self.kind {
            Kind::Standard(channel) => channel.get_chain_tip(),
            Kind::Extended(channel) => channel.get_chain_tip(),
        }
        .map(|tip| tip.prev_hash().to_array())
    }

    pub fn target(&self) -> Target {
        match &self.kind {
            Kind::Standard(channel) => *channel.get_target(),
            Kind::Extended(channel) => *channel.get_target(),
        }
    }

    fn work(&self) -> Outcome<Work> {
        let tip = match &self.kind {
            Kind::Standard(channel) => channel.get_chain_tip(),
            Kind::Extended(channel) => channel.get_chain_tip(),
        };
        let tip = tip.ok_or("no tip")?;
        let (previous, bits) = (tip.prev_hash().to_array(), tip.nbits());
        match &self.kind {
            Kind::Standard(channel) => {
                let job = channel.get_active_job().ok_or("no job")?;
                let message = &job.job_message;
                Ok(Work {
                    job: message.job_id,
                    version: message.version,
                    ntime: message.min_ntime.as_ref().copied().ok_or("no time")?,
                    root: message.merkle_root.to_array(),
                    target: job.target,
                    previous,
                    bits,
                    extranonce: None,
                })
            }
            Kind::Extended(channel) => {
                let job = channel.get_active_job().ok_or("no job")?;
                let message = &job.job_message;
                let mut rolled = vec![0; channel.get_rollable_extranonce_size() as usize];
                let counter = self.sequence.to_be_bytes();
                let at = rolled.len() - counter.len();
                rolled[at..].copy_from_slice(&counter);
                let mut whole = job.extranonce_prefix.clone();
                whole.extend_from_slice(&rolled);
                let root = merkle_root_from_path(
                    message.coinbase_tx_prefix.as_bytes(),
                    message.coinbase_tx_suffix.as_bytes(),
                    &whole,
                    message.merkle_path.as_slice(),
                );
                Ok(Work {
                    job: message.job_id,
                    version: message.version,
                    ntime: message.min_ntime.as_ref().copied().ok_or("no time")?,
                    root: root.ok_or("the coinbase is no transaction")?,
                    target: job.target,
                    previous,
                    bits,
                    extranonce: Some(rolled),
                })
            }
        }
    }

    /** The channel must agree that it is a share. */
    fn agree(&mut self, message: &MiningOwned) -> Outcome<()> {
        match (&mut self.kind, message) {
            (Kind::Standard(channel), MiningOwned::SubmitSharesStandard(share)) => channel
                .validate_share(share.clone())
                .map(drop)
                .map_err(debug("our own share")),
            (Kind::Extended(channel), MiningOwned::SubmitSharesExtended(share)) => channel
                .validate_share(share.clone())
                .map(drop)
                .map_err(debug("our own share")),
            _ => fault("a share of another kind of channel"),
        }
    }

    pub fn mine(&mut self, between: Between) -> Outcome<Share> {
        self.sequence += 1;
        let mut work = self.work()?;
        let (easier, harder) = match between {
            Between::Target => (work.target, Target::ZERO),
            Between::Block => (
                Target::from_compact(CompactTarget::from_consensus(work.bits)),
                Target::ZERO,
            ),
            Between::StaleJob => (Target::from_le_bytes([0xff; 32]), Target::ZERO),
            Between::JobAndNewTarget => (work.target, self.target()),
            Between::TargetAnd(older) => (older, work.target),
        };
        loop {
            self.nonce = self.nonce.wrapping_add(1);
            let header = Header {
                version: Version::from_consensus(work.version as i32),
                prev_blockhash: BlockHash::from_byte_array(work.previous),
                merkle_root: TxMerkleNode::from_byte_array(work.root),
                time: work.ntime,
                bits: CompactTarget::from_consensus(work.bits),
                nonce: self.nonce,
            };
            let hash = Target::from_le_bytes(header.block_hash().to_byte_array());
            self.hash = hash.to_le_bytes();
            if hash <= easier && hash > harder {
                break;
            }
        }
        if matches!(between, Between::StaleJob) {
            work.job = self.last_job;
        }
        let message = self.message(&work)?;
        if matches!(
            between,
            Between::Target | Between::Block | Between::JobAndNewTarget
        ) {
            self.agree(&message)?;
        }
        Ok(Share {
            message,
            sequence: self.sequence,
        })
    }

    fn message(&self, work: &Work) -> Outcome<MiningOwned> {
        let share = SubmitSharesStandard {
            channel_id: self.id,
            sequence_number: self.sequence,
            job_id: work.job,
            nonce: self.nonce,
            ntime: work.ntime,
            version: work.version,
        };
        let Some(extranonce) = &work.extranonce else {
            return Ok(MiningOwned::SubmitSharesStandard(share));
        };
        Ok(MiningOwned::SubmitSharesExtended(
            SubmitSharesExtendedOwned {
                channel_id: share.channel_id,
                sequence_number: share.sequence_number,
                job_id: share.job_id,
                nonce: share.nonce,
                ntime: share.ntime,
                version: share.version,
                extranonce: extranonce.clone().try_into().map_err(debug("extranonce"))?,
            },
        ))
    }
}
