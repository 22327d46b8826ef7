//! Runs the named collectors once and prints what they write: `collect NAME[,NAME…] [FLAG…]`.
use std::time::{Duration, Instant};

fn main() {
    let names = std::env::args().nth(1).expect("collect NAME[,NAME…] [FLAG…]");
    let args: Vec<String> = std::env::args().skip(2).collect();
    let flags = node_exporter::flags_for_example(&args);
    for entry in node_exporter::collectors::ALL.iter().filter(|e| names.split(',').any(|n| n == e.name)) {
        let mut collector = match (entry.new)(&flags) {
            Ok(collector) => collector,
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        };
        let mut out = exporter::Text::new();
        let start = Instant::now();
        let result = collector.collect(&mut out, start + Duration::from_secs(10));
        out.clear();
        let again = Instant::now();
        let second = collector.collect(&mut out, again + Duration::from_secs(10));
        let mut order: Vec<usize> = (0..out.len()).collect();
        order.sort_by_key(|&i| out.name(i).to_owned());
        for i in order {
            print!("{}", String::from_utf8_lossy(out.segment(i)));
        }
        eprintln!("{}: {result:?} {second:?} (second run {:?})", entry.name, again.elapsed());
    }
}
