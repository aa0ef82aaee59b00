/* template.rs: templates for a pool that has no node: made up, but complete and well formed. */
use stratum_core::bitcoin::hashes::{sha256d, Hash};
use stratum_core::bitcoin::{consensus, Amount, ScriptBuf, Target, TxOut};
use stratum_core::template_distribution_sv2::{NewTemplateOwned, SetNewPrevHashOwned};

const REWARD_SATS: u64 = 312_500_000;
const VERSION: u32 = 0x2000_0000;
const BITS: u32 = 0x1b00_ffff; /* Far harder than any share here: no share is a block. */

#[derive(Clone)]
pub struct Tip {
    pub previous: [u8; 32],
    pub time: u32,
    pub bits: u32,
    height: u32,
}

fn now() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map(|time| time.as_secs() as u32).unwrap_or(0)
}

impl Tip {
    pub fn first() -> Self {
        Self {
            previous: [0x11; 32],
            time: now(),
            bits: BITS,
            height: 900_000,
        }
    }

    pub fn next(&self) -> Self {
        let previous = sha256d::Hash::hash(&self.previous).to_byte_array();
        Self {
            previous,
            time: now(),
            height: self.height + 1,
            ..*self
        }
    }
}

pub fn reward() -> TxOut {
    TxOut {
        value: Amount::from_sat(REWARD_SATS),
        script_pubkey: ScriptBuf::from(vec![0x51]),
    }
}

/** Outputs without value, the witness commitment first: a coinbase as long as a test wants it. */
fn extra_outputs(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..count {
        let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
        script.extend_from_slice(sha256d::Hash::hash(&i.to_le_bytes()).as_byte_array());
        let output = TxOut {
            value: Amount::ZERO,
            script_pubkey: ScriptBuf::from(script),
        };
        bytes.extend(consensus::serialize(&output));
    }
    bytes
}

pub fn template(id: u64, future: bool, tip: &Tip, outputs: usize) -> NewTemplateOwned {
    let height = tip.height.to_le_bytes();
    let path: Vec<_> = (0..12u8)
        .map(|i| sha256d::Hash::hash(&[i, id as u8]).to_byte_array().into())
        .collect();
    NewTemplateOwned {
        template_id: id,
        future_template: future,
        version: VERSION,
        coinbase_tx_version: 2,
        coinbase_prefix: vec![3, height[0], height[1], height[2]]
            .try_into()
            .expect("short"),
        coinbase_tx_input_sequence: u32::MAX,
        coinbase_tx_value_remaining: REWARD_SATS,
        coinbase_tx_outputs_count: outputs as u32,
        coinbase_tx_outputs: extra_outputs(outputs).try_into().expect("less than 64 KiB"),
        coinbase_tx_locktime: 0,
        merkle_path: path.try_into().expect("short"),
    }
}

pub fn set_new_prev_hash(id: u64, tip: &Tip) -> SetNewPrevHashOwned {
    SetNewPrevHashOwned {
        template_id: id,
        prev_hash: tip.previous.into(),
        header_timestamp: tip.time,
        n_bits: tip.bits,
        target: Target::from_compact(stratum_core::bitcoin::CompactTarget::from_consensus(
            tip.bits,
        ))
        .to_le_bytes()
        .into(),
    }
}

/** target / divisor. */
pub fn divided(target: &Target, divisor: u64) -> Target {
    let mut bytes = target.to_be_bytes();
    let mut rest = 0u64;
    for byte in bytes.iter_mut() {
        rest = rest << 8 | u64::from(*byte);
        *byte = (rest / divisor) as u8;
        rest %= divisor;
    }
    Target::from_be_bytes(bytes)
}
