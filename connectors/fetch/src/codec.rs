//! The compression of record batches.

use std::io::{self, Read};

/// What one batch may become at most: far more than a broker takes by its default (`message.max.bytes`, 1 MiB), and a bound for one that is made to burst.
pub(crate) const BATCH_BYTES_MAX: usize = 256 << 20;

/// The frame that Java's Snappy puts around its blocks: this, two versions of four bytes, and blocks with their lengths in four bytes.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// Decompresses the records of a batch into `out`, which is emptied before. `codec` is the number in the batch's attributes, not 0.
pub(crate) fn decompress(codec: i16, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    match codec {
        1 => limited(flate2::read::MultiGzDecoder::new(bytes), out),
        2 => snappy(bytes, out),
        3 => limited(lz4_flex::frame::FrameDecoder::new(bytes), out),
        4 => limited(zstd::stream::read::Decoder::with_buffer(bytes)?, out),
        other => Err(damaged(format!("compression type {other} is not known"))),
    }
}

fn limited(reader: impl Read, out: &mut Vec<u8>) -> io::Result<()> {
    reader.take(BATCH_BYTES_MAX as u64 + 1).read_to_end(out)?;
    if out.len() > BATCH_BYTES_MAX { Err(too_large()) } else { Ok(()) }
}

fn snappy(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    if !bytes.starts_with(XERIAL) {
        return block(bytes, out);
    }
    let mut rest = bytes.get(XERIAL_HEADER_BYTES..).unwrap_or_default();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let (one, after) = after.split_at_checked(len).ok_or_else(|| damaged("a Snappy block is cut off".into()))?;
        block(one, out)?;
        rest = after;
    }
    Ok(())
}

fn block(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let len = snap::raw::decompress_len(bytes)?;
    let start = out.len();
    if len > BATCH_BYTES_MAX - start {
        return Err(too_large());
    }
    out.resize(start + len, 0);
    snap::raw::Decoder::new().decompress(bytes, &mut out[start..])?;
    Ok(())
}

fn too_large() -> io::Error {
    damaged(format!("it becomes larger than {BATCH_BYTES_MAX} bytes"))
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The same bytes by each codec, as clients write them.
    fn compressed(bytes: &[u8]) -> Vec<(i16, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("in memory");
        let raw = snap::raw::Encoder::new().compress_vec(bytes).expect("Snappy");
        let mut java = [XERIAL, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for half in [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]] {
            let half = snap::raw::Encoder::new().compress_vec(half).expect("Snappy");
            java.extend((half.len() as u32).to_be_bytes());
            java.extend(half);
        }
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(bytes).expect("in memory");
        let zstd = zstd::stream::encode_all(bytes, 1).expect("in memory");
        vec![(1, gzip.finish().expect("in memory")), (2, raw), (2, java), (3, lz4.finish().expect("in memory")), (4, zstd)]
    }

    #[test]
    fn each_codec_gives_back_what_it_was_given() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut out = vec![1, 2, 3];
        for (codec, compressed) in compressed(&bytes) {
            decompress(codec, &compressed, &mut out).expect("valid");
            assert!(out == bytes, "codec {codec}");
        }
    }

    #[test]
    fn damage_is_told() {
        let mut out = Vec::new();
        for (codec, compressed) in compressed(&[7; 1000]) {
            let cut = decompress(codec, &compressed[..compressed.len() - 5], &mut out);
            assert!(cut.is_err() || out.len() < 1000, "codec {codec}: {cut:?}");
        }
        assert!(decompress(5, b"", &mut out).is_err());
        // A Snappy block that says it is of 4 GiB.
        assert!(decompress(2, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], &mut out).expect_err("too large").to_string().contains("larger than"));
    }
}
