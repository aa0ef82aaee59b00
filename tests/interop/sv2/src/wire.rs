/* wire.rs: one encrypted connection on the reference implementation's codec, over blocking sockets.
 *
 * A thread reads, so that a wait with a deadline never stops in the middle of a frame. */
use codec_sv2::{
    Decoded, Decrypted, Handshake, InitiatorSent, MessageFrame, NoiseDecoder, NoiseEncoder,
    SerializedFrame, TransportDecryptState, TransportEncryptState,
};
use noise_sv2::{Initiator, Responder};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use stratum_core::binary_sv2::{GetSize, Serialize};
use stratum_core::framing_sv2::header::Header;
use stratum_core::parsers_sv2::{AnyMessage, IsSv2Message};

pub type Fault = Box<dyn std::error::Error + Send + Sync>;
pub type Outcome<T> = Result<T, Fault>;

/* The reference implementation's published example keys. */
pub const AUTHORITY_PUBLIC: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
pub const AUTHORITY_SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
pub const OTHER_PUBLIC: &str = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";

pub fn fault<T>(text: impl Into<String>) -> Outcome<T> {
    Err(text.into().into())
}

/** Errors of the crates have no common trait: their Debug form is what a person gets to see. */
pub fn debug<E: std::fmt::Debug>(what: &'static str) -> impl Fn(E) -> Fault {
    move |error| format!("{what}: {error:?}").into()
}

pub fn public_key(text: &str) -> Outcome<[u8; 32]> {
    let key: key_utils::Secp256k1PublicKey = text
        .to_string()
        .try_into()
        .map_err(debug("authority key"))?;
    Ok(key.into_bytes())
}

pub fn secret_key(text: &str) -> Outcome<[u8; 32]> {
    let key: key_utils::Secp256k1SecretKey = text
        .to_string()
        .try_into()
        .map_err(debug("authority secret"))?;
    Ok(key.into_bytes())
}

#[derive(Debug)]
pub struct Frame {
    pub header: Header,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn parse(&mut self) -> Outcome<AnyMessage<'_>> {
        AnyMessage::try_from((self.header, &mut self.payload[..])).map_err(debug("message"))
    }
}

pub struct Link {
    stream: TcpStream,
    encoder: NoiseEncoder,
    seal: TransportEncryptState,
    frames: Receiver<Outcome<Frame>>,
    /** Each byte in a write of its own, so that the peer sees every possible fragment. */
    pub chopped: bool,
    held: Option<Vec<u8>>,
}

fn read_handshake<R: codec_sv2::ExpectsHandshakeMessage>(
    stream: &mut TcpStream,
) -> Outcome<codec_sv2::HandshakeMessage> {
    let mut decoder = NoiseDecoder::new();
    loop {
        stream.read_exact(decoder.writable())?;
        if let Decoded::Frame(message) = decoder
            .next_handshake_frame::<R>()
            .map_err(debug("handshake"))?
        {
            return Ok(message);
        }
    }
}

pub fn read_frame(
    stream: &mut impl Read,
    decoder: &mut NoiseDecoder,
    mut open: TransportDecryptState,
) -> Outcome<(Frame, TransportDecryptState)> {
    loop {
        stream.read_exact(decoder.writable())?;
        match decoder.next_transport_frame(open).map_err(debug("frame"))? {
            Decrypted::Frame(mut frame, open) => {
                let payload = frame.payload().to_vec();
                return Ok((
                    Frame {
                        header: frame.header(),
                        payload,
                    },
                    open,
                ));
            }
            Decrypted::Incomplete(_, state) => open = state,
        }
    }
}

fn write_chopped(stream: &mut TcpStream, bytes: &[u8], chopped: bool) -> Outcome<()> {
    if !chopped {
        return Ok(stream.write_all(bytes)?);
    }
    for byte in bytes {
        stream.write_all(std::slice::from_ref(byte))?;
    }
    Ok(())
}

impl Link {
    fn new(stream: TcpStream, transport: codec_sv2::Transport, chopped: bool) -> Outcome<Self> {
        let (seal, open) = transport.split();
        let mut reader = stream.try_clone()?;
        let (sender, frames) = channel();
        std::thread::spawn(move || {
            let mut decoder = NoiseDecoder::new();
            let mut state = Some(open);
            while let Some(open) = state.take() {
                let read = read_frame(&mut reader, &mut decoder, open);
                let message = read.map(|(frame, open)| {
                    state = Some(open);
                    frame
                });
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            stream,
            encoder: NoiseEncoder::new(),
            seal,
            frames,
            chopped,
            held: None,
        })
    }

    /** The pool's side of the handshake. */
    pub fn accept(mut stream: TcpStream) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        let responder = Responder::from_authority_kp(
            &public_key(AUTHORITY_PUBLIC)?,
            &secret_key(AUTHORITY_SECRET)?,
            Duration::from_secs(3600),
        )
        .map_err(debug("responder"))?;
        let act1 = read_handshake::<Responder>(&mut stream)?;
        let (act2, transport) = Handshake::responder(responder)
            .step_1(act1.payload().try_into()?)
            .map_err(debug("act 1"))?;
        stream.write_all(act2.payload())?;
        Self::new(stream, transport, false)
    }

    /** The miner's side. authority: the key in its text form. */
    pub fn connect(address: &str, authority: &str, chopped: bool) -> Outcome<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let initiator =
            Initiator::from_raw_k(public_key(authority)?).map_err(debug("initiator"))?;
        let (act1, waiting) = Handshake::initiator(initiator)
            .step_0()
            .map_err(debug("act 1"))?;
        write_chopped(&mut stream, act1.payload(), chopped)?;
        let act2 = read_handshake::<InitiatorSent>(&mut stream)?;
        let transport = waiting
            .step_2(act2.payload().try_into()?)
            .map_err(debug("act 2"))?;
        Self::new(stream, transport, chopped)
    }

    pub fn send<T: Serialize + GetSize + IsSv2Message>(&mut self, message: T) -> Outcome<()> {
        let (kind, extension) = (message.message_type(), message.extension_type());
        let channel = message.channel_bit();
        let frame = MessageFrame::from_message(message, kind, extension, channel)
            .map_err(debug("frame"))?;
        let sealed = self
            .encoder
            .encode_transport(frame, &mut self.seal)
            .map_err(debug("seal"))?;
        self.put(sealed.as_ref())
    }

    /** A whole plain frame, header first. */
    pub fn send_bytes(&mut self, bytes: Vec<u8>) -> Outcome<()> {
        let frame = SerializedFrame::from_bytes(bytes).map_err(debug("frame"))?;
        let sealed = self
            .encoder
            .encode_transport(frame, &mut self.seal)
            .map_err(debug("seal"))?;
        self.put(sealed.as_ref())
    }

    fn put(&mut self, bytes: &[u8]) -> Outcome<()> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
            return Ok(());
        }
        write_chopped(&mut self.stream, bytes, self.chopped)
    }

    /** Keep what is sent from now on, and send it all in one write. */
    pub fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    pub fn release(&mut self) -> Outcome<()> {
        let held = self.held.take().unwrap_or_default();
        self.put(&held)
    }

    /** The next frame; None: nothing came until then. */
    pub fn receive(&mut self, until: Instant) -> Outcome<Option<Frame>> {
        match self
            .frames
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok(frame) => Ok(Some(frame?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => fault("the connection has ended"),
        }
    }

    /** The peer has ended the connection, or does so by then; frames before it are dropped. */
    pub fn ends(&mut self, until: Instant) -> bool {
        loop {
            match self.receive(until) {
                Ok(Some(_)) => continue,
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    pub fn close(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/** The program ends after this time, whatever it waits for. */
pub fn watch(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("owm-interop-sv2: time is up");
        std::process::exit(1);
    });
}

pub fn text(string: &str) -> stratum_core::binary_sv2::Str0255Owned {
    string
        .as_bytes()
        .to_vec()
        .try_into()
        .expect("a string of at most 255 bytes")
}
