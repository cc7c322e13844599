use super::*;

fn sample(len: usize) -> Vec<u8> {
    // Compressible, but not by everything: a little generator between repeated words.
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state & 3 == 0 { out.extend(state.to_le_bytes()) } else { out.extend(b"offset key value") }
    }
    out.truncate(len);
    out
}

#[test]
fn what_is_compressed_comes_back() {
    for codec in Compression::ALL {
        for len in [0, 1, 15, 100, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 300_000] {
            let input = sample(len);
            let mut out = b"before".to_vec();
            compress(codec, None, &input, &mut out).unwrap();
            let compressed = out.strip_prefix(b"before").unwrap();
            assert_eq!(decompress(codec, compressed, len), Ok(input), "{codec:?} {len}");
        }
    }
}

#[test]
fn levels_out_of_range_are_taken_for_the_nearest() {
    let input = sample(10_000);
    for codec in Compression::ALL {
        for level in [i32::MIN, -131_072, -2, -1, 0, 1, 9, 17, 22, i32::MAX] {
            let mut out = Vec::new();
            compress(codec, Some(level), &input, &mut out).unwrap();
            assert_eq!(decompress(codec, &out, input.len()).as_ref(), Ok(&input), "{codec:?} {level}");
        }
    }
}

#[test]
fn higher_levels_compress_better() {
    let input = sample(200_000);
    for codec in [Compression::Gzip, Compression::Zstd] {
        let size = |level| {
            let mut out = Vec::new();
            compress(codec, Some(level), &input, &mut out).unwrap();
            out.len()
        };
        assert!(size(9) < size(1), "{codec:?}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let input = vec![0u8; 3_000_000];
    for codec in Compression::ALL {
        let mut bomb = Vec::new();
        compress(codec, None, &input, &mut bomb).unwrap();
        let mut out = Vec::new();
        let error = decompress_into(codec, &bomb, 10_000, &mut out);
        assert_eq!(error, Err(CompressionError::TooLarge { limit: 10_000 }), "{codec:?}");
        assert_eq!(out.len(), 10_000);
        assert!(out.capacity() < 200_000, "{codec:?} {}", out.capacity());
        assert_eq!(decompress(codec, &bomb, input.len()).map(|out| out.len()), Ok(input.len()));
        assert!(decompress(codec, &bomb, input.len() - 1).is_err());
    }
}

#[test]
fn cut_data_is_an_error_not_less_data() {
    let input = sample(100_000);
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut whole = Vec::new();
        compress(codec, None, &input, &mut whole).unwrap();
        for cut in [1, 4, 6, 9, 17, whole.len() / 2, whole.len() - 1] {
            let result = decompress(codec, &whole[..cut], input.len()).map(|out| out.len());
            assert!(matches!(result, Err(CompressionError::Corrupt { .. })), "{codec:?} {cut} {result:?}");
        }
    }
}

#[test]
fn raw_snappy_without_the_frame_is_read() {
    let input = sample(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(decompress(Compression::Snappy, &raw, input.len()), Ok(input));
}

#[test]
fn snappy_streams_may_follow_each_other() {
    let mut both = Vec::new();
    compress(Compression::Snappy, None, b"one ", &mut both).unwrap();
    compress(Compression::Snappy, None, b"two", &mut both).unwrap();
    assert_eq!(decompress(Compression::Snappy, &both, 100), Ok(b"one two".to_vec()));
}

#[test]
fn snappy_blocks_that_lie_about_their_size_are_refused_before_memory_is_taken() {
    // A raw block of 5 bytes that claims 4 GiB - 1.
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(
        decompress(Compression::Snappy, &lie, usize::MAX),
        Err(CompressionError::Corrupt { .. })
    ));
}

#[test]
fn frames_and_members_may_follow_each_other() {
    for codec in [Compression::Gzip, Compression::Zstd] {
        let mut both = Vec::new();
        compress(codec, None, b"one ", &mut both).unwrap();
        compress(codec, None, b"two", &mut both).unwrap();
        assert_eq!(decompress(codec, &both, 100), Ok(b"one two".to_vec()), "{codec:?}");
    }
}

#[test]
fn lz4_frames_that_kafkas_consumers_cannot_read_are_refused() {
    let input = sample(100_000);
    let frame = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&input).unwrap();
        encoder.finish().unwrap()
    };
    let block = lz4_flex::block::compress(&input);
    let mut legacy = 0x184c_2102u32.to_le_bytes().to_vec();
    legacy.extend((block.len() as u32).to_le_bytes());
    legacy.extend(block);
    let refused = [
        frame(FrameInfo::new().block_mode(BlockMode::Linked)),
        legacy,
        // Without its end mark.
        frame(FrameInfo::new()).split_last_chunk::<4>().unwrap().0.to_vec(),
    ];
    for (case, frame) in refused.into_iter().enumerate() {
        let result = decompress(Compression::Lz4, &frame, input.len()).map(|out| out.len());
        assert!(matches!(result, Err(CompressionError::Corrupt { .. })), "{case} {result:?}");
    }
    let checked = FrameInfo::new().block_checksums(true).content_checksum(true).content_size(Some(100_000));
    for info in [checked, FrameInfo::new().block_size(BlockSize::Max4MB)] {
        assert_eq!(decompress(Compression::Lz4, &frame(info), input.len()).as_ref(), Ok(&input));
    }
    // What follows the first frame is not looked at.
    let mut two = frame(FrameInfo::new());
    two.extend_from_within(..);
    assert_eq!(decompress(Compression::Lz4, &two, usize::MAX), Ok(input));
}

#[test]
fn a_decoder_left_in_the_middle_leaves_no_trace() {
    let input = sample(500_000);
    let mut whole = Vec::new();
    compress(Compression::Zstd, None, &input, &mut whole).unwrap();
    for _ in 0..3 {
        let mut decoder = Decoder::new(Compression::Zstd, &whole).unwrap();
        let mut some = [0u8; 10];
        decoder.read_exact(&mut some).unwrap();
        drop(decoder);
        assert!(decompress(Compression::Zstd, b"not zstd at all", 100).is_err());
        assert_eq!(decompress(Compression::Zstd, &whole, input.len()).as_ref(), Ok(&input));
    }
}

#[test]
fn zstd_frames_of_unknown_size_are_read() {
    let input = sample(300_000);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(&input).unwrap();
    let frame = encoder.finish().unwrap();
    assert_eq!(decompress(Compression::Zstd, &frame, input.len()), Ok(input));
}

#[test]
fn names_and_numbers_are_kafkas() {
    let names: Vec<_> = Compression::ALL.map(Compression::name).into();
    assert_eq!(names, ["none", "gzip", "snappy", "lz4", "zstd"]);
    for (id, codec) in Compression::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(codec.id()), id);
        assert_eq!(Compression::from_id(id as u8), Some(codec));
        assert_eq!(Compression::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Compression::from_id(5), None);
    assert_eq!(Compression::from_name("producer"), None);
}
