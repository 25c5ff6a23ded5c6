use super::*;
use crate::packed::Packer;

/// A header with these tags: each a tag, a type, a count, and its data.
fn header(tags: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, count, bytes) in tags {
        let offset = u32::try_from(data.len()).unwrap();
        [*tag, *kind, offset, *count].iter().for_each(|number| index.extend(number.to_be_bytes()));
        data.extend_from_slice(bytes);
    }
    let lengths = [tags.len(), data.len()].map(|length| u32::try_from(length).unwrap().to_be_bytes());
    [lengths.concat(), index, data].concat()
}

fn bash() -> Vec<u8> {
    header(&[
        (1000, 6, 1, b"bash\0"),
        (1001, 6, 1, b"5.1.8\0"),
        (1002, 6, 1, b"4.el9\0"),
        (1003, 4, 1, &[0, 0, 0, 2]),
        (1022, 6, 1, b"x86_64\0"),
        (1044, 6, 1, b"bash-5.1.8-4.el9.src.rpm\0"),
        (1116, 4, 2, &[0, 0, 0, 1, 0, 0, 0, 0]),
        (1117, 8, 2, b"package.json\0README\0"),
        (1118, 8, 2, b"/usr/share/doc/\0/usr/lib/node_modules/a/\0"),
    ])
}

/// A database as it is read whole, which is as it is read packed.
#[track_caller]
fn both(reader: Reader, bytes: &[u8]) -> Database {
    let whole = read(reader, &Content::from(bytes));
    let mut packer = Packer::new(usize::MAX).unwrap();
    packer.add(bytes).unwrap();
    let packed = packer.finish().unwrap();
    assert_eq!(read(reader, &Content::from(&packed)), whole);
    whole
}

#[test]
fn a_header_tells_the_package_and_which_of_its_files_matter() {
    let package = header::package(&bash(), want_by_language).unwrap().unwrap();
    assert_eq!((package.name.as_str(), package.evr().as_str()), ("bash", "2:5.1.8-4.el9"));
    assert_eq!(package.files, ["usr/lib/node_modules/a/package.json"]);
    let spaced = header(&[(1000, 6, 1, b" a\n\0"), (1001, 6, 1, b"1\r\0"), (1002, 6, 1, b"\t2\0")]);
    let package = header::package(&spaced, want_by_language).unwrap().unwrap();
    assert_eq!((package.name.as_str(), package.evr().as_str()), ("a", "1-2"));
    let key = header(&[(1000, 6, 1, b"gpg-pubkey\0")]);
    assert_eq!(header::package(&key, want_by_language), Ok(None));
    assert!(header::package(&header(&[]), want_by_language).is_err());
}

#[test]
fn a_damaged_header_does_no_harm() {
    let whole = bash();
    for at in 0..whole.len() {
        drop(header::package(&whole[..at], want_by_language));
        for byte in [0, 1, 0x7f, 0xff] {
            let mut flipped = whole.clone();
            flipped[at] = byte;
            drop(header::package(&flipped, want_by_language));
        }
    }
}

#[test]
fn a_source_package_is_named_by_its_file() {
    let named = |file: &str| source(file).map(|source| format!("{} {}", source.name, source.version));
    assert_eq!(named("almalinux-release-9.0-3.el9.src.rpm").as_deref(), Some("almalinux-release 9.0-3.el9"));
    assert_eq!(named("x.src.rpm"), None);
    assert_eq!(named("a-1-1.x86_64.rpm"), None);
}

#[test]
fn what_is_no_database_says_so_and_an_empty_one_nothing() {
    for (_, reader) in FORMS {
        assert_eq!(both(reader, b"").problems, [""; 0]);
        assert_eq!(both(reader, &[7; 9000]).problems.len(), 1);
        assert_eq!(both(reader, b"SQLite format 3\0").problems.len(), 1);
    }
    let journal: Database =
        serde_json::from_slice(&Rpm.condense(b"var/lib/rpm/rpmdb.sqlite-wal", vec![1])).unwrap();
    assert_eq!(journal.problems.len(), 1);
}

/// An ndb database with one slot.
fn ndb(blob_length: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..4].copy_from_slice(b"RpmP");
    bytes[12] = 1;
    for slot in bytes[32..].chunks_exact_mut(16) {
        slot[..4].copy_from_slice(b"Slot");
    }
    let blob = bash();
    bytes[36] = 9;
    bytes[40..44].copy_from_slice(&256_u32.to_le_bytes());
    bytes.extend_from_slice(b"BlbS");
    bytes.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(
        if blob_length == 0 { u32::try_from(blob.len()).unwrap() } else { blob_length }.to_le_bytes(),
    );
    bytes.extend(blob);
    bytes
}

#[test]
fn slots_lead_to_packages_and_nowhere_else() {
    let read = |bytes: &[u8]| {
        let database = both(ndb::blobs, bytes);
        (database.packages.len(), database.problems)
    };
    assert_eq!(read(&ndb(0)), (1, vec![]));
    assert_eq!(read(&ndb(u32::MAX)).1, ["a package's place in the database is damaged"]);
    // All slots at the same package: more than the database holds.
    let mut greedy = ndb(0);
    let slot = greedy[32..48].to_vec();
    for other in greedy[32..4096].chunks_exact_mut(16) {
        other.copy_from_slice(&slot);
    }
    assert_eq!(read(&greedy).1, ["the database's packages are larger than the database"]);
}

/// A Berkeley DB hash with one item, whose value begins on page 2 and goes on at `next`.
fn bdb(next: u32) -> Vec<u8> {
    let blob = bash();
    let mut bytes = vec![0; 3 * 512];
    bytes[12..16].copy_from_slice(&0x0006_1561_u32.to_le_bytes());
    bytes[20..24].copy_from_slice(&512_u32.to_le_bytes());
    bytes[512 + 20] = 2;
    bytes[512 + 25] = 13;
    bytes[512 + 26] = 120;
    bytes[512 + 28] = 100;
    bytes[512 + 100] = 3;
    bytes[512 + 104] = 2;
    let length = u32::try_from(blob.len()).unwrap();
    bytes[512 + 108..512 + 112].copy_from_slice(&(length + 9 * u32::from(next != 0)).to_le_bytes());
    bytes[1024 + 16..1024 + 20].copy_from_slice(&next.to_le_bytes());
    bytes[1024 + 22..1024 + 24].copy_from_slice(&u16::try_from(blob.len()).unwrap().to_le_bytes());
    bytes[1024 + 25] = 7;
    bytes[1050..1050 + blob.len()].copy_from_slice(&blob);
    bytes
}

#[test]
fn overflow_pages_are_followed_and_end() {
    let read = |next| {
        let database = both(bdb::blobs, &bdb(next));
        (database.packages.len(), database.problems.len())
    };
    assert_eq!(read(0), (1, 0));
    // A page that follows itself gives what was asked for, and no more.
    assert_eq!(read(2), (1, 0));
    assert_eq!(read(99), (0, 1), "a page that is not there");
    assert_eq!(read(1), (0, 1), "a page that is none of these");
}

#[test]
fn flipped_bytes_of_databases_do_no_harm() {
    for (reader, bytes) in [(ndb::blobs as Reader, ndb(0)), (bdb::blobs, bdb(0))] {
        for at in
            (0..64).chain(512..700).chain(1024..1100).chain(4096..bytes.len()).filter(|at| *at < bytes.len())
        {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            drop(both(reader, &flipped));
            drop(both(reader, &flipped[..at]));
        }
    }
}

#[test]
fn a_directory_told_once_is_not_spelled_out_without_end() {
    let directory = format!("/{}/node_modules/a/\0", "d".repeat(3000));
    let files = 5000_u32;
    let names = b"package.json\0".repeat(files as usize);
    let indexes = vec![0; 4 * files as usize];
    let greedy = header(&[
        (1000, 6, 1, b"x\0"),
        (1001, 6, 1, b"1\0"),
        (1002, 6, 1, b"1\0"),
        (1116, 4, files, &indexes),
        (1117, 8, files, &names),
        (1118, 8, 1, directory.as_bytes()),
    ]);
    let package = header::package(&greedy, want_by_language).unwrap().unwrap();
    let spelled: usize = package.files.iter().map(String::len).sum();
    assert!(!package.files.is_empty() && spelled < 9 * greedy.len(), "{spelled} of {}", greedy.len());
}

#[test]
fn problems_of_a_database_are_counted_and_cut() {
    let lines = "x\n".repeat(5000);
    assert_eq!(manifest(lines.as_bytes()).problems.len(), Limits::DEFAULT.problems);
}

#[test]
fn items_that_point_at_the_same_pages_again_and_again_are_refused() {
    let greedy = |value: &[u8]| {
        let mut bytes = bdb(0);
        let page = &mut bytes[512..1024];
        page[20] = 100;
        for (item, at) in (0..100).zip([460_u16, 448].into_iter().cycle()) {
            page[26 + 2 * item..28 + 2 * item].copy_from_slice(&at.to_le_bytes());
        }
        page[448..448 + value.len()].copy_from_slice(value);
        both(bdb::blobs, &bytes).problems.pop()
    };
    let length = u8::try_from(bash().len() % 256).unwrap();
    let on_a_page_of_its_own = greedy(&[3, 0, 0, 0, 2, 0, 0, 0, length, u8::from(bash().len() > 255), 0, 0]);
    let what = "the database's packages are larger than the database";
    assert_eq!(on_a_page_of_its_own.as_deref(), Some(what));
    let mut many_inline = vec![0; 8 << 10];
    many_inline[..1024].copy_from_slice(&bdb(0)[..1024]);
    many_inline[20..24].copy_from_slice(&4096_u32.to_le_bytes());
    let page = &mut many_inline[4096..];
    page[20..22].copy_from_slice(&1000_u16.to_le_bytes());
    page[25] = 13;
    for (item, at) in (0..1000).zip([4000_u16, 3000].into_iter().cycle()) {
        page[26 + 2 * item..28 + 2 * item].copy_from_slice(&at.to_le_bytes());
    }
    page[3000] = 1;
    assert_eq!(both(bdb::blobs, &many_inline).problems.last().map(String::as_str), Some(what));
}

/// An SQLite database of two pages: the schema, which names the second as the root of the table, and that.
fn sqlite(root: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..16].copy_from_slice(b"SQLite format 3\0");
    bytes[16..18].copy_from_slice(&512_u16.to_be_bytes());
    // A leaf with one cell: its length, its number, five types, and the columns.
    let record = [&[6, 23, 29, 29, 1, 13][..], b"table", b"Packages", b"Packages", &[2]].concat();
    let cell = [&[u8::try_from(record.len()).unwrap(), 1], record.as_slice()].concat();
    bytes[100] = 13;
    bytes[104] = 1;
    bytes[108..110].copy_from_slice(&400_u16.to_be_bytes());
    bytes[400..400 + cell.len()].copy_from_slice(&cell);
    bytes.extend_from_slice(root);
    bytes.resize(1024, 0);
    bytes
}

/// A leaf of the table whose cells all are this one row, the more often the larger `cells` is.
fn leaf(cells: u16) -> Vec<u8> {
    let blob = bash();
    let varint =
        |number: usize| [u8::try_from(number >> 7).unwrap() | 0x80, u8::try_from(number & 0x7f).unwrap()];
    let record = [&[4, 0][..], &varint(12 + 2 * blob.len()), &blob].concat();
    let cell = [&varint(record.len())[..], &[1], &record].concat();
    let mut page = vec![0; 512];
    let at = 512 - cell.len();
    page[0] = 13;
    page[3..5].copy_from_slice(&cells.to_be_bytes());
    for pointer in page[8..8 + 2 * usize::from(cells)].chunks_exact_mut(2) {
        pointer.copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
    }
    page[at..].copy_from_slice(&cell);
    page
}

#[test]
fn the_table_of_an_sqlite_database_is_walked_once() {
    let read = |root: &[u8]| {
        let mut database = both(sqlite::blobs, &sqlite(root));
        (database.packages.len(), database.problems.pop())
    };
    assert_eq!(read(&leaf(1)), (1, None));
    assert_eq!(read(&leaf(60)).1.as_deref(), Some("the database's packages are larger than the database"));
    // An inner page whose last child is itself.
    let mut circle = vec![0; 512];
    (circle[0], circle[11]) = (5, 2);
    assert_eq!(read(&circle).1.as_deref(), Some("the database's pages lead to the same page twice"));
    let whole = sqlite(&leaf(1));
    for at in (0..20).chain(100..110).chain(400..440).chain(512..whole.len()) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xff;
        drop(both(sqlite::blobs, &flipped));
        drop(both(sqlite::blobs, &flipped[..at]));
    }
}

#[test]
fn a_header_larger_than_any_and_a_list_longer_than_any_are_refused() {
    let mut allowance = Allowance::of(1 << 30);
    assert!(allowance.take(HEADER_BYTES_MAX).is_ok());
    assert!(allowance.take(HEADER_BYTES_MAX + 1).unwrap_err().contains("16777217 bytes"));
    let many: Reader = |_, take| {
        let name = [&b"a".repeat(1 << 20)[..], b"\0"].concat();
        (0..20).try_for_each(|_| take(&header(&[(1000, 6, 1, &name)])))
    };
    let read = read(many, &Content::from(&b"x"[..]));
    assert_eq!((read.packages.len(), read.problems.len()), (7, 1));
}
