//! The engine's conversation.

use std::os::fd::AsFd;

use protocol::column::{Parts, write_column};
use protocol::frame::Channel;
use protocol::manifest::{DerivedColumn, DerivedType};
use protocol::memfd::sealed;
use protocol::message::{EngineFailure, EngineReply, EngineRequest, SecretKey};
use protocol::table::*;

use super::testing::*;

#[test]
fn a_whole_conversation() {
    let case = big_case(5, 300);
    let (mut server, theirs) = Channel::pair().unwrap();
    let worker = std::thread::spawn(move || {
        super::serve(&mut Channel::new(theirs), &crate::jail::Jailed::for_tests(protocol::message::WorkerRole::Engine))
    });
    let (sources, fds) = case.sources();
    let keys = (SecretKey([1; 32]), SecretKey([2; 32]));
    let fuse = EngineRequest::Fuse { plan: case.plan.clone(), sources, pseudonym_key: keys.0, namespace_key: keys.1 };
    server.send(&fuse, &fds.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
    let (reply, view_fds) = server.receive::<EngineReply>().unwrap();
    let EngineReply::Fused { columns, report } = reply else { panic!("{reply:?}") };
    assert_eq!((columns.len(), view_fds.len(), report.rows, report.units), (7, 7, 300, 5));
    let tables = vec![TableRequest { name: "a".into(), ..request(&["flag"], &[(MeasureOp::Sum, Some("v"))]) }];
    let derived =
        vec![DerivedColumn { name: "flag".into(), ty: DerivedType::Category { labels: vec!["no".into(), "yes".into(), "never".into()] } }];
    let mut flag = Vec::new();
    write_column(Parts::Code(&(0..300).map(|i| i % 2).collect::<Vec<u32>>(), &[0], b""), None, &mut flag).unwrap();
    let flag = sealed("d", &flag).unwrap();
    let reduce = EngineRequest::Reduce { tables, derived, own: Vec::new(), contributors: true };
    let tables_of = |server: &mut Channel| {
        server.send(&reduce, &[flag.as_fd()]).unwrap();
        let mut out = Vec::new();
        loop {
            match server.receive::<EngineReply>().unwrap().0 {
                EngineReply::Table(header) => out.push(TableOutput { header, cells: Vec::new() }),
                EngineReply::Cells(cells) => out.last_mut().unwrap().cells.extend(cells),
                EngineReply::Contributors => {}
                EngineReply::Done => return out,
                other => panic!("{other:?}"),
            }
        }
    };
    let first = tables_of(&mut server);
    let cells: Vec<(Option<i64>, u64, u64)> = first[0].cells.iter().map(|c| (c.keys[0], c.rows, c.units)).collect();
    assert_eq!(cells, [(Some(0), 150, 5), (Some(1), 150, 5), (Some(2), 0, 0)]);
    assert_eq!(first[0].cells[2].measures[0].as_ref().unwrap().n, 0);
    assert_eq!(tables_of(&mut server), first);
    drop(server);
    assert!(matches!(worker.join().unwrap(), Err(protocol::frame::FrameError::Closed)));

    // The same view in another engine, which then fails in its own words and hangs up.
    let (mut server, theirs) = Channel::pair().unwrap();
    let worker = std::thread::spawn(move || {
        super::serve(&mut Channel::new(theirs), &crate::jail::Jailed::for_tests(protocol::message::WorkerRole::Engine))
    });
    let view = EngineRequest::View { columns, threads: 2, units: report.units };
    server.send(&view, &view_fds.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
    assert_eq!(tables_of(&mut server), first);
    let bad = request(&["nothing"], &[(MeasureOp::Count, None)]);
    server.send(&EngineRequest::Reduce { tables: vec![bad], derived: Vec::new(), own: Vec::new(), contributors: false }, &[]).unwrap();
    let (reply, _) = server.receive::<EngineReply>().unwrap();
    assert_eq!(reply, EngineReply::Failed(EngineFailure::Table(TableError::NotGranted("nothing".into()))));
    worker.join().unwrap().unwrap();
}
