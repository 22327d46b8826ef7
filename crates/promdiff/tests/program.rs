//! The program: its exit statuses, and what it prints.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const OLD: &str = "\
# TYPE node_load1 gauge
node_load1 1
# TYPE node_boot_time_seconds gauge
node_boot_time_seconds 1.7e+09
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 100
node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 50
# TYPE node_disk_info gauge
node_disk_info{device=\"sda\",wwn=\"1\"} 1
# TYPE go_goroutines gauge
go_goroutines 8
";

const NEW: &str = "\
# TYPE node_load1 untyped
node_load1 1
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1000
# TYPE node_disk_info gauge
node_disk_info{device=\"sda\"} 1
# TYPE node_more gauge
node_more 1
";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Files(tempfile::tempdir().unwrap());
        files.write("old", OLD);
        files.write("new", NEW);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs the program in the folder of the files: its exit status, standard output and standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        result(&promdiff(self.0.path(), args).output().unwrap())
    }
}

fn promdiff(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promdiff"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

fn result(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_same_is_safe() {
    let files = Files::new();
    let (status, out, err) = files.run(&["old", "old"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.ends_with("\nSAFE\n"), "{out}");
}

#[test]
fn differences_are_told_by_family() {
    let (status, out, err) = Files::new().run(&["old", "new"]);
    assert_eq!((status, err.as_str()), (1, ""));
    let expected = "\
Families missing from NEW (1)
  node_boot_time_seconds  gauge  1 series

Types changed (1)
  node_load1  gauge -> untyped

Label sets changed (1)
  node_disk_info  lost wwn  gained -  1 series

Series missing from NEW (1 in 1 family)
  OLD
   50  node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}

Values that differ by more than time explains (1 in 1 family)
  OLD   NEW  change
  100  1000    x 10  node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}

Families only in NEW (does no harm) (1)
  node_more  gauge  1 series

OLD      4 families  5 series
NEW      4 families  4 series
both     3 families  2 series
ignored    0 values  1 series

NOT SAFE: 1 family missing, 1 type changed, 1 label set changed, 1 series missing, 1 value differs
";
    assert_eq!(out, expected, "{out}");
}

#[test]
fn many_series_are_cut_unless_all_are_asked_for() {
    let files = Files::new();
    let series = |count: usize| (0..count).map(|i| format!("m{{i=\"{i:02}\"}} {i}\n")).collect::<String>();
    files.write("many", &series(15));
    files.write("few", &series(1));
    let (_, out, _) = files.run(&["many", "few"]);
    assert!(
        out.contains("       m (14)\n    1    {i=\"01\"}\n") && out.contains("         ... 4 more\n"),
        "{out}"
    );
    let (_, out, _) = files.run(&["many", "few", "--all"]);
    assert!(out.contains("   14    {i=\"14\"}\n") && !out.contains("more"), "{out}");
}

#[test]
fn ignored_and_tolerated_differences_are_safe() {
    let files = Files::new();
    files.write("rules", "# ours\nnode_(boot|disk|load)\nvalue: mode=\"idle\"\n");
    let args = ["old", "new", "--ignore-file", "rules", "--ignore", "mode=\"user\""];
    let (status, out, _) = files.run(&args);
    assert_eq!(status, 0, "{out}");
    let args = ["old", "new", "--ignore", "node_(boot|disk|load)|user", "--tolerance", "9"];
    assert_eq!(files.run(&args).0, 0);
    assert_eq!(files.run(&["old", "new", "--ignore=node_", "--no-default-ignores"]).0, 1);
    let args = ["old", "new", "--ignore", "node_(boot|disk|load)|user", "--ignore-value", "idle"];
    assert_eq!(files.run(&args).0, 0);
}

#[test]
fn a_second_reading_explains_what_moves() {
    let files = Files::new();
    let value = |v: u32| format!("# TYPE m counter\nm {v}\n");
    for (name, v) in [("a", 100), ("b", 180), ("c", 200)] {
        files.write(name, &value(v));
    }
    assert_eq!(files.run(&["a", "b"]).0, 1);
    assert_eq!(files.run(&["a", "b", "--again", "c"]).0, 0);
    assert_eq!(files.run(&["a", "c", "--again", "a"]).0, 1);
}

#[test]
fn json_holds_the_whole_report() {
    let files = Files::new();
    files.write("nan", "m NaN\n");
    files.write("inf", "m +Inf\n");
    let (status, out, _) = files.run(&["nan", "inf", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &value["safe"]), (1, &false.into()));
    let difference = &value["value_differences"][0];
    assert_eq!((&difference["old"], &difference["new"]), (&"NaN".into(), &"+Inf".into()));
    let (_, out, _) = files.run(&["old", "new", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["missing_series"][0]["series"], "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}");
    assert_eq!(value["type_changes"][0]["new"], "untyped");
}

#[test]
fn queries_that_lose_data_make_a_swap_unsafe() {
    let files = Files::new();
    files.write("less", &OLD.replace("node_boot_time_seconds", "node_other"));
    files.write("d.json", r#"{"title": "Node", "panels": [{"title": "Up", "targets": [{"expr": "time() - node_boot_time_seconds{job=\"$job\"}"}]}]}"#);
    files.write(
        "r.yml",
        "groups: [{name: a, rules: [{alert: Load, expr: 'node_load1 > 1'}, {alert: Odd, expr: 'sum('}]}]\n",
    );
    let args = ["old", "less", "--ignore", "boot_time", "--queries", "d.json", "--queries", "r.yml"];
    let (status, out, err) = files.run(&args);
    assert_eq!((status, err.as_str()), (1, ""));
    assert!(out.starts_with("Queries that would lose data (1 of 3)\n  d.json\n    Node / Up\n"), "{out}");
    assert!(out.contains("queries   3: 2 use series of OLD, 1 would lose data, 1 not understood\n"), "{out}");
    assert!(out.ends_with("NOT SAFE: 1 query would lose data\n"), "{out}");
    let (status, out, _) = files.run(&["old", "old", "--queries", "d.json", "--queries", "r.yml"]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("Queries that were not understood (1 of 3)"), "{out}");
    let (_, out, _) = files.run(&["old", "less", "--json", "--queries", "d.json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["queries"]["lost"][0]["place"], "Node / Up");
}

#[test]
fn what_cannot_be_read_is_status_2_with_one_line() {
    let files = Files::new();
    files.write("bad", "a 1\nsecret-token\n");
    files.write("empty", "");
    files.write("q.json", "{}");
    for (args, message) in [
        (&["old", "none"][..], "none: No such file"),
        (&["old", "bad"], "bad: line 2: no number"),
        (&["old", "empty"], "empty: no metrics"),
        (&["-", "-"], "only one of the inputs"),
        (&["old", "https://localhost/"], "only http://"),
        (&["old", "new", "--ignore", "("], "--ignore=(: "),
        (&["old", "new", "--ignore-file", "none"], "none: No such file"),
        (&["old", "new", "--queries", "old"], "old: "),
        (&["old", "new", "--queries", "q.json"], "no query"),
        (&["old", "http://127.0.0.1:1/"], "refused"),
    ] {
        let (status, out, err) = files.run(args);
        assert_eq!((status, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.starts_with("promdiff: ") && err.contains(message), "{args:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(!err.contains("secret"), "{err}");
    }
    for args in [&["old"][..], &[], &["old", "new", "more"], &["--nope"], &["old", "new", "--tolerance", "x"]]
    {
        assert_eq!(files.run(args).0, 2, "{args:?}");
    }
    let (status, help, _) = files.run(&["--help"]);
    assert!(status == 0 && help.contains("^go_") && help.contains("Exit status"), "{help}");
}

#[test]
fn standard_input() {
    let files = Files::new();
    let mut command = promdiff(files.0.path(), &["-", "old"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(OLD.as_bytes()).unwrap();
    assert_eq!(result(&child.wait_with_output().unwrap()).0, 0);
}

/// Serves the given bodies, one a connection, in chunks; then closes.
fn serve(bodies: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for body in bodies {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /metrics HTTP/1.1\r\n"));
            let mut answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
            for chunk in body.as_bytes().chunks(7) {
                answer.push_str(&format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()));
            }
            answer.push_str("0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn exporters_are_scraped_in_turn() {
    let values = |values: &[u32]| values.iter().map(|v| format!("# TYPE m counter\nm {v}\n")).collect();
    let files = Files::new();
    let args = |old: &[u32], new: &[u32]| [serve(values(old)), serve(values(new))];
    let [old, new] = args(&[100, 200, 300], &[150, 250]);
    assert_eq!(files.run(&[&old, &new, "--rounds=2", "--pause=0"]).0, 0);
    let [old, new] = args(&[100, 200, 300], &[1500, 2500]);
    let (status, out, _) = files.run(&[&old, &new, "--rounds=2", "--pause=0"]);
    assert!(status == 1 && out.contains("OLD again"), "{out}");
}

#[test]
fn an_exporter_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let start = std::time::Instant::now();
    let (status, _, err) = Files::new().run(&["old", &url, "--timeout=0.2"]);
    assert_eq!(status, 2);
    assert!(err.contains("no whole answer in time"), "{err}");
    assert!(start.elapsed().as_secs() < 5);
}
