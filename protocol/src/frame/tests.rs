use super::*;
use std::io::Write;

fn pair() -> (Channel, Channel) {
    let (a, b) = Channel::pair().unwrap();
    let mut b = Channel::new(b);
    b.set_deadline(Some(Instant::now() + Duration::from_millis(500)));
    (a, b)
}

#[test]
fn messages_and_descriptors_arrive_together() {
    let (mut a, mut b) = pair();
    let fd = crate::memfd::sealed("t", b"hello").unwrap();
    a.send(&"one", &[fd.as_fd(), fd.as_fd()]).unwrap();
    a.send(&"two", &[]).unwrap();
    let (m, fds) = b.receive::<String>().unwrap();
    assert_eq!((m.as_str(), fds.len()), ("one", 2));
    let (m, fds) = b.receive::<String>().unwrap();
    assert_eq!((m.as_str(), fds.len()), ("two", 0));
    assert!(matches!(b.receive::<String>(), Err(FrameError::Timeout)));
    drop(a);
    b.set_deadline(None);
    assert!(matches!(b.receive::<String>(), Err(FrameError::Closed)));
}

#[test]
fn hostile_bytes_are_typed_errors() {
    let raw = |bytes: &[u8]| {
        let (a, b) = UnixStream::pair().unwrap();
        let mut b = Channel::new(b);
        (&a).write_all(bytes).unwrap();
        drop(a);
        b.receive::<String>().unwrap_err()
    };
    assert!(matches!(raw(&[255; 8]), FrameError::TooLarge(_)));
    assert!(matches!(raw(&[1, 0, 0, 0, 0, 0, 1, 0]), FrameError::Descriptors));
    assert!(matches!(raw(&[0, 0, 0, 0, 1, 0, 0, 0]), FrameError::Descriptors));
    assert!(matches!(raw(&[9, 0, 0, 0, 0, 0, 0, 0, 1]), FrameError::Truncated));
    assert!(matches!(raw(&[2, 0, 0, 0, 0, 0, 0, 0, 200, 1]), FrameError::Malformed));
    assert!(matches!(raw(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 1]), FrameError::Malformed));
    assert!(matches!(raw(&[1, 0]), FrameError::Truncated));
}

#[test]
fn more_descriptors_than_announced_are_refused_and_closed() {
    let (a, b) = UnixStream::pair().unwrap();
    let fd = crate::memfd::sealed("t", b"x").unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut anc = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd(); 3];
    assert!(anc.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(&a, &[IoSlice::new(&[1, 0, 0, 0, 0, 0, 0, 0, 0])], &mut anc, SendFlags::empty()).unwrap();
    assert!(matches!(Channel::new(b).receive::<String>(), Err(FrameError::Descriptors)));
}

#[test]
fn a_plain_channel_takes_frames_and_no_descriptor() {
    let (a, b) = UnixStream::pair().unwrap();
    let (mut a, mut b) = (Channel::plain(a), Channel::plain(b));
    b.set_deadline(Some(Instant::now() + Duration::from_secs(5)));
    let long = "x".repeat(200_000);
    let sender = std::thread::spawn(move || {
        // More frames than a conversation of a worker may have.
        for i in 0..Limits::STANDARD.frames_max + 10 {
            a.send(&i, &[]).unwrap();
        }
        a.send(&long, &[]).unwrap();
        let larger = "x".repeat(Limits::STANDARD.fold_frame_bytes_max as usize + 1);
        assert!(matches!(a.send(&larger, &[]), Err(FrameError::TooLarge(_))));
        let fd = crate::memfd::sealed("t", b"x").unwrap();
        assert!(matches!(a.send(&1, &[fd.as_fd()]), Err(FrameError::Descriptors)));
        a
    });
    for i in 0..Limits::STANDARD.frames_max + 10 {
        assert_eq!(b.receive::<u64>().unwrap().0, i);
    }
    assert_eq!(b.receive::<String>().unwrap().0.len(), 200_000);
    // The two forms of a channel speak one language, and descriptors that come all the same are lost on the way.
    let a = sender.join().unwrap();
    let socket = a.as_fd().try_clone_to_owned().unwrap();
    let mut other = Channel::new(UnixStream::from(socket));
    let fd = crate::memfd::sealed("t", b"x").unwrap();
    other.send(&"hello", &[]).unwrap();
    assert_eq!(b.receive::<String>().unwrap().0, "hello");
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    other.send(&"hello", &[fd.as_fd()]).unwrap();
    assert!(matches!(b.receive::<String>(), Err(FrameError::Descriptors)));
    assert_eq!(open(), before);
    drop((a, other));
    assert!(matches!(b.receive::<String>(), Err(FrameError::Closed)));
}

/// A peer that writes `bytes` again and again until it is hung up on, and what the reader says in the end.
fn flooded(bytes: Vec<u8>) -> (FrameError, u64, Duration, Allowance) {
    let (a, b) = UnixStream::pair().unwrap();
    let peer = std::thread::spawn(move || while (&a).write_all(&bytes).is_ok() {});
    let mut reader = Channel::new(b);
    let started = Instant::now();
    reader.set_deadline(Some(started + Duration::from_secs(60)));
    let mut frames = 0;
    let error = loop {
        match reader.receive::<String>() {
            Ok(_) => frames += 1,
            Err(error) => break error,
        }
    };
    let took = started.elapsed();
    let allowance = reader.allowance.replace(Allowance::full(started)).unwrap();
    drop(reader);
    peer.join().unwrap();
    (error, frames, took, allowance)
}

fn frame_of(payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[test]
fn a_flood_of_small_frames_comes_too_fast() {
    // Two reads a frame: a header, then its payload of one byte.
    let (error, frames, took, _) = flooded(frame_of(&[0]));
    assert!(matches!(error, FrameError::TooFast), "{error}");
    let burst = u64::from(Limits::STANDARD.frame_reads_burst_max);
    let refilled = u64::from(Limits::STANDARD.frame_reads_per_second_max) * (took.as_secs() + 1);
    assert!((burst / 2..=(burst + refilled) / 2).contains(&frames), "{frames} frames in {took:?}");
}

#[test]
fn a_flood_of_large_frames_has_too_many_bytes() {
    let len = Limits::STANDARD.frame_bytes_max as usize - 3;
    let mut payload = vec![0; len + 3];
    // postcard: the length as a varint, then the bytes.
    for (to, n) in payload.iter_mut().zip([len & 127 | 128, len >> 7 & 127 | 128, len >> 14]) {
        *to = u8::try_from(n).unwrap();
    }
    let (error, frames, took, left) = flooded(frame_of(&payload));
    assert!(matches!(error, FrameError::TooManyBytes), "{error}");
    // All that a conversation may hold does come through in one burst, however the kernel cuts it.
    assert_eq!(frames, Limits::STANDARD.frames_bytes_max / (u64::from(Limits::STANDARD.frame_bytes_max) + 8));
    eprintln!("{frames} frames of {} bytes in {took:?}; {} reads left of the burst", payload.len(), left.reads);
}

#[test]
fn a_frame_that_trickles_in_comes_too_fast_or_too_late() {
    // As fast as it can, byte by byte, the reader always awake.
    let (a, b) = UnixStream::pair().unwrap();
    let peer = std::thread::spawn(move || {
        let mut bytes = frame_of(&vec![0; 1 << 20]).into_iter();
        while bytes.next().is_some_and(|byte| (&a).write_all(&[byte]).is_ok()) {
            std::thread::yield_now();
        }
    });
    let mut reader = Channel::new(b);
    let started = Instant::now();
    reader.set_deadline(Some(started + Duration::from_secs(5)));
    let error = reader.receive::<String>().unwrap_err();
    // Where the pieces were taken together, the frame is whole, and of no form.
    assert!(matches!(error, FrameError::TooFast | FrameError::Malformed), "{error}");
    drop(reader);
    peer.join().unwrap();

    // Slowly: each piece comes in time, the whole does not.
    let (a, b) = UnixStream::pair().unwrap();
    let peer = std::thread::spawn(move || {
        for byte in frame_of(&[0; 1000]) {
            std::thread::sleep(Duration::from_millis(20));
            if (&a).write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let mut reader = Channel::new(b);
    let started = Instant::now();
    reader.set_deadline(Some(started + Duration::from_millis(300)));
    assert!(matches!(reader.receive::<String>(), Err(FrameError::Timeout)));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(reader);
    peer.join().unwrap();
}

#[test]
fn a_peer_that_takes_nothing_or_little_holds_nobody_up() {
    for piece in [0usize, 64] {
        let (mut a, b) = Channel::pair().unwrap();
        let started = Instant::now();
        a.set_deadline(Some(started + Duration::from_millis(300)));
        let peer = std::thread::spawn(move || {
            let mut buffer = [0u8; 64];
            while let Some(buffer) = buffer.get_mut(..piece).filter(|b| !b.is_empty()) {
                std::thread::sleep(Duration::from_millis(10));
                if std::io::Read::read(&mut &b, buffer).is_ok_and(|n| n == 0) {
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(600));
        });
        let error = a.send(&"a".repeat((1 << 20) - 3), &[]).unwrap_err();
        assert!(matches!(error, FrameError::Timeout), "{error}");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        drop(a);
        peer.join().unwrap();
    }
}

#[test]
fn frames_are_counted_and_reads_refill() {
    let now = Instant::now();
    let mut allowance = Allowance::full(now);
    for _ in 0..Limits::STANDARD.frames_max {
        allowance.frame().unwrap();
    }
    assert!(matches!(allowance.frame(), Err(FrameError::TooMany)));
    for _ in 0..Limits::STANDARD.frame_reads_burst_max {
        allowance.read(now).unwrap();
    }
    assert!(matches!(allowance.read(now), Err(FrameError::TooFast)));
    let later = now + Duration::from_millis(1500);
    let per_second = Limits::STANDARD.frame_reads_per_second_max;
    for _ in 0..per_second * 3 / 2 {
        allowance.read(later).unwrap();
    }
    assert!(matches!(allowance.read(later), Err(FrameError::TooFast)));
    // Asked often, it earns what it would earn asked once.
    let mut earned = 0;
    for step in 1..=10_000u64 {
        earned += u32::from(allowance.read(later + Duration::from_micros(step * 100)).is_ok());
    }
    assert!((per_second - 1..=per_second).contains(&earned), "{earned}");
    assert!(allowance.bytes(Limits::STANDARD.frames_bytes_max).is_ok());
    assert!(matches!(allowance.bytes(1), Err(FrameError::TooManyBytes)));
}
