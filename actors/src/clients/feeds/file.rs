//! One file, whatever it is: an archive, a document, or records in lines, packed or not. Its first bytes say which;
//! its name says only whether a plain text is cut into lines.

use std::fs::File;
use std::iter;

use super::document::{self, Kind, Lines};
use super::packing::{self, Form, Stream};
use super::tarball::Tarball;
use super::{Archive, Error, Limits, Record, Records};

/// The records of a file. Synchronous: for a blocking thread.
pub(super) fn open(place: String, file: File, limits: &Limits) -> Result<Records, Error> {
    let packed = file.metadata().map_err(Error::unreadable(&place))?.len();
    let (form, file) = packing::form_of(file).map_err(Error::unreadable(&place))?;
    let (form, stream, allowed): (_, Stream, _) = match form {
        Form::Zip => return Ok(Box::new(Archive::open(place, file, limits.clone())?)),
        Form::Packed(packing) => {
            let allowed = packing::allowed(packed, limits);
            let ended = packing::ended(&place, allowed);
            let unpacked = packing::unpack(file, packing, allowed).and_then(packing::form_of_stream);
            let (form, stream) = unpacked.map_err(ended)?;
            (form, stream, allowed)
        }
        form => (form, Box::new(file), limits.unpacked_bytes),
    };
    let what = match form {
        Form::Tar => {
            let stream = packing::bounded(stream, allowed);
            return Ok(Box::new(Tarball::new(place, stream, allowed, limits.clone())));
        }
        Form::Plain => return plain(place, stream, allowed, limits),
        Form::Unsupported(what) => what,
        Form::Zip | Form::Packed(_) => "packed twice",
    };
    Err(Error::Unsupported { place, what })
}

fn plain(place: String, stream: Stream, allowed: u64, limits: &Limits) -> Result<Records, Error> {
    if let Some((Kind::Lines, _)) = document::kind(&place, limits.yaml) {
        return Ok(Box::new(Lines::new(place, stream, allowed, limits)));
    }
    let record: Record =
        document::single(place.clone(), stream, limits).map_err(packing::ended(&place, allowed))?;
    Ok(Box::new(iter::once(Ok(record))))
}
