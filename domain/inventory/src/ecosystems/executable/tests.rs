use super::*;

/// A little-endian 64-bit ELF file: one segment, writable, holds `data`; then come the sections and their list.
pub(in crate::ecosystems) fn elf(data: &[u8], sections: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 128];
    let data_at = file.len() as u64;
    file.extend_from_slice(data);
    let mut names = vec![0_u8];
    let mut headers = vec![0; 64];
    for (name, content) in sections {
        file.resize(file.len().next_multiple_of(16), 0);
        headers.extend(section_header(names.len(), file.len(), content.len()));
        names.extend_from_slice(&[*name, b"\0"].concat());
        file.extend_from_slice(content);
    }
    headers.extend(section_header(names.len(), file.len(), names.len() + 10));
    names.extend_from_slice(b".shstrtab\0");
    file.extend_from_slice(&names);
    let (list_at, count) = (file.len() as u64, u16::try_from(sections.len() + 2).unwrap());
    file.extend_from_slice(&headers);
    put(&mut file, 0, b"\x7fELF\x02\x01\x01");
    put(&mut file, 32, &64_u64.to_le_bytes());
    put(&mut file, 40, &list_at.to_le_bytes());
    put(&mut file, 54, &[56, 0, 1, 0, 64, 0]);
    put(&mut file, 60, &count.to_le_bytes());
    put(&mut file, 62, &(count - 1).to_le_bytes());
    let header = [data_at, ADDRESS, 0, data.len() as u64, data.len() as u64].map(u64::to_le_bytes).concat();
    put(&mut file, 64, &[1, 0, 0, 0, 6, 0, 0, 0]);
    put(&mut file, 72, &header);
    file
}

/// Where the segment is in memory.
pub(in crate::ecosystems) const ADDRESS: u64 = 0x40_0000;

/// A whole file, ready to be looked into.
pub(in crate::ecosystems) fn executable(bytes: Vec<u8>) -> Executable {
    Executable::new(Held::whole(bytes))
}

fn section_header(name: usize, at: usize, size: usize) -> Vec<u8> {
    let mut header = vec![0; 64];
    put(&mut header, 0, &u32::try_from(name).unwrap().to_le_bytes());
    put(&mut header, 4, &[1]);
    put(&mut header, 24, &(at as u64).to_le_bytes());
    put(&mut header, 32, &(size as u64).to_le_bytes());
    header
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// What is held of a file under a plan.
fn hold(file: &[u8], plan: &[Range<u64>]) -> Executable {
    let part = |range: &Range<u64>| {
        let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        (range.start, file[start..end].to_vec())
    };
    Executable::new(Held::new(file.len() as u64, plan.iter().map(part).collect()))
}

#[test]
fn sections_and_segments_of_elf_are_found() {
    let file = executable(elf(b"data", &[(b".other", b"x"), (b".dep-v0", b"list"), (b".dep-v0x", b"y")]));
    let section = file.section(RUST_AUDIT).unwrap();
    assert_eq!(file.get(section), Ok(&b"list"[..]));
    assert_eq!(file.section(GO_BUILD_INFO[0]), None);
    assert_eq!(file.at_address(ADDRESS + 1, 3), Ok(&b"ata"[..]));
    assert_eq!(file.at_address(ADDRESS + 1, 4), Err(Unread::Absent));
    assert_eq!(file.at_address(u64::MAX, u64::MAX), Err(Unread::Absent));
    assert_eq!(file.data().next(), Some(128..132));
}

#[test]
fn sections_of_pe_are_found() {
    let mut file = vec![0; 0x200];
    put(&mut file, 0, b"MZ");
    put(&mut file, 60, &[0x80]);
    put(&mut file, 0x80, b"PE\0\0");
    put(&mut file, 0x86, &[1]);
    put(&mut file, 0x94, &[32]);
    put(&mut file, 0x98, &[0x0b, 2]);
    put(&mut file, 0xb0, &[0, 0, 0x40]);
    put(&mut file, 0xb8, b".dep-v0\0");
    let numbers = [4_u32, 0x1000, 0x20, 0x1e0].map(u32::to_le_bytes).concat();
    put(&mut file, 0xc0, &numbers);
    put(&mut file, 0xdc, &0xc000_0040_u32.to_le_bytes());
    put(&mut file, 0x1e0, b"list");
    let file = executable(file);
    assert_eq!(file.section(RUST_AUDIT), Some(0x1e0..0x1e4));
    assert_eq!(file.at_address(0x40_1000, 4), Ok(&b"list"[..]));
    assert_eq!(file.data().next(), Some(0x1e0..0x200));
}

#[test]
fn sections_of_mach_o_are_found() {
    let mut file = vec![0; 32 + 72 + 80];
    put(&mut file, 0, macho::MAGIC);
    put(&mut file, 20, &[72 + 80]);
    put(&mut file, 32, &[0x19, 0, 0, 0, 72 + 80]);
    put(&mut file, 32 + 24, &[0, 0x10, 0, 0, 0, 0, 0, 0]);
    put(&mut file, 32 + 40, &[184, 0, 0, 0, 0, 0, 0, 0, 4]);
    put(&mut file, 32 + 60, &[3]);
    put(&mut file, 104, b"__go_buildinfo");
    put(&mut file, 104 + 40, &[4, 0, 0, 0, 0, 0, 0, 0, 184]);
    file.extend_from_slice(b"info");
    let file = executable(file);
    assert_eq!(file.section(GO_BUILD_INFO[1]), Some(184..188));
    assert_eq!(file.at_address(0x1000, 4), Ok(&b"info"[..]));
    assert_eq!(file.data().next(), Some(184..188));
}

#[test]
fn programs_and_libraries_are_told_by_permissions_name_and_first_bytes() {
    assert!(may_be(0o755, b"usr/bin/x") && may_be(0o001, b"x"));
    for library in ["lib/libc.so.6", "a/b.so", "a/b.node", "a/b.pyd", "a/b.dylib", "a/b.dll", "a/b.exe"] {
        assert!(may_be(0o644, library.as_bytes()), "{library}");
    }
    for other in ["etc/passwd", "a.so/readme", "a/b.sofa", "a/so"] {
        assert!(!may_be(0o644, other.as_bytes()), "{other}");
    }
    assert!(begins(&elf(b"", &[])) && !begins(b"#!/bin/sh") && !begins(b""));
    for place in ["bin/x", "usr/lib/go/bin/go", "usr/sbin/x", "usr/libexec/docker/x", "usr/lib/libx.so.1.2"] {
        assert!(is_usual_place(place.as_bytes()), "{place}");
    }
    for place in ["usr/share/bin", "usr/share/doc/x.1", "usr/lib/x.conf"] {
        assert!(!is_usual_place(place.as_bytes()), "{place}");
    }
}

#[test]
fn of_a_large_file_beginning_data_and_end_are_held() {
    let room = 4 * HEAD_BYTES;
    assert_eq!(plan(room, b"", room).first(), Some(&(0..room)));
    let mut file = elf(&vec![7; 100_000], &[(RUST_AUDIT, b"list")]);
    put(&mut file, 72, &40_000_u64.to_le_bytes()); // The data begins in the middle.
    let plan = plan(file.len() as u64, &file[..4096], room);
    assert_eq!(plan, [0..4096, 40_000..44_096, file.len() as u64 - 8192..file.len() as u64]);
    let executable = hold(&file, &plan);
    assert_eq!(executable.section(RUST_AUDIT).map(|section| executable.get(section)), Some(Ok(&b"list"[..])));
    assert!(!executable.hides_sections());
    assert_eq!(executable.get(20_000..20_001), Err(Unread::NotHeld));
    assert_eq!(executable.stretch(40_000..90_000).len(), 4096);
    // Without its end nobody knows what sections there are.
    assert!(hold(&file, &plan[..2]).hides_sections());
}

#[test]
fn plans_are_in_order_and_within_the_file() {
    let room = 4 * HEAD_BYTES;
    for data_at in [0_u64, 100, 4096, 20_000, 90_000, 99_999, 100_000, u64::MAX - 1, u64::MAX] {
        for size in [room + 1, 2 * room, 100_000] {
            let mut head = elf(b"", &[]);
            put(&mut head, 72, &data_at.to_le_bytes());
            put(&mut head, 96, &5000_u64.to_le_bytes());
            let plan = plan(size, &head, room);
            let mut at = 0;
            for range in &plan {
                assert!(at <= range.start && range.start < range.end && range.end <= size, "{plan:?}");
                at = range.end;
            }
            assert_eq!((plan[0].start, at), (0, size));
            assert!(plan.iter().map(|range| range.end - range.start).sum::<u64>() <= room);
        }
    }
}
