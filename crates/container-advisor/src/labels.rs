//! The labels that every sample of a container carries, laid out once and written again and again.
//!
//! They are those of the original: `id`, `name`, `image`, a `container_label_<key>` for each label of the container and a
//! `container_env_<key>` for each variable that the settings allow. The original writes every label of any container under every
//! other one too, with an empty value; such a label is no label, so it is left out here.

use exporter::text::render_label;

use crate::metadata::Metadata;

/// The most bytes of labels on one sample of a container; labels beyond are left out. A line is written for every family.
pub const MOST: usize = 64 * 1024;

/// Which labels of containers become labels of samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Each of them: `--store_container_labels`.
    All,
    /// Those with these keys: `--whitelisted_container_labels`.
    These(Vec<String>),
}

impl Kept {
    fn keeps(&self, key: &str) -> bool {
        match self {
            Kept::All => true,
            Kept::These(keys) => keys.iter().any(|kept| kept == key),
        }
    }
}

/// The labels of one container, as text, in order of name. A sample's own labels stand between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// `container_env_…` and `container_label_…`.
    pub before: Vec<u8>,
    /// `id` and `image`.
    pub identity: Vec<u8>,
    /// `name`.
    pub name: Vec<u8>,
}

impl Labels {
    /// Lays the labels out. `path` is the cgroup's, which is the `id`; `fallback` is the name where the runtime told none.
    pub fn render(&mut self, path: &[u8], metadata: Option<&Metadata>, fallback: &str, kept: &Kept) {
        self.before.clear();
        self.identity.clear();
        self.name.clear();
        let (name, image) = metadata.map_or((fallback, ""), |m| (m.name.as_str(), m.image.as_str()));
        render_label(&mut self.identity, "id", path);
        if !image.is_empty() {
            render_label(&mut self.identity, "image", image.as_bytes());
        }
        if !name.is_empty() {
            render_label(&mut self.name, "name", name.as_bytes());
        }
        let Some(metadata) = metadata else { return };
        let env = metadata.env.iter().map(|(key, value)| (sanitized("container_env_", key), value));
        let labels = metadata.labels.iter().filter(|(key, _)| kept.keeps(key));
        // As the original has it, so that recording rules that drop it go on doing so.
        let restarts = metadata
            .restart_count
            .filter(|&count| count > 0 && *kept == Kept::All)
            .map(|count| count.to_string());
        let restarts = restarts.iter().map(|count| (sanitized("container_label_", "restartcount"), count));
        let labels = labels.map(|(key, value)| (sanitized("container_label_", key), value));
        let mut pairs: Vec<(String, &String)> =
            env.chain(labels).chain(restarts).filter(|(_, value)| !value.is_empty()).collect();
        // Stable: of two keys that are the same once sanitized, the first in order of key stays.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        for (key, value) in &pairs {
            // The name, the quotes and a comma, and each byte may need a second one.
            if self.before.len() + key.len() + 2 * value.len() + 4 > MOST {
                continue;
            }
            render_label(&mut self.before, key, value.as_bytes());
        }
    }
}

/// A label name: each character that may not stand in one becomes `_`.
fn sanitized(prefix: &str, key: &str) -> String {
    let valid = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    prefix.chars().chain(key.chars().map(valid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::testing::metadata;

    fn render(metadata: Option<&Metadata>, fallback: &str, kept: &Kept) -> [String; 3] {
        let mut labels = Labels::default();
        labels.render(b"/docker/a\"b", metadata, fallback, kept);
        [labels.before, labels.identity, labels.name].map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn labels_variables_and_identity() {
        let mut meta = metadata("id", "web");
        meta.image = "nginx:1".into();
        meta.labels = [
            ("com.docker.x", "1"),
            ("a-b", "q\"\\\n"),
            ("\u{e9}", "e"),
            ("empty", ""),
            ("id", "no"),
            ("name", "no"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        meta.labels.sort();
        meta.env = vec![("app_env".into(), "prod".into())];
        assert_eq!(
            render(Some(&meta), "", &Kept::All),
            [
                "container_env_app_env=\"prod\",container_label__=\"e\",container_label_a_b=\"q\\\"\\\\\\n\",\
                 container_label_com_docker_x=\"1\",container_label_id=\"no\",container_label_name=\"no\"",
                "id=\"/docker/a\\\"b\",image=\"nginx:1\"",
                "name=\"web\""
            ]
        );
        let some = Kept::These(vec!["com.docker.x".into(), "com_docker_x".into()]);
        assert_eq!(
            render(Some(&meta), "", &some)[0],
            "container_env_app_env=\"prod\",container_label_com_docker_x=\"1\""
        );
        assert_eq!(render(None, "", &Kept::All), ["", "id=\"/docker/a\\\"b\"", ""]);
        assert_eq!(render(None, "0123", &Kept::All)[2], "name=\"0123\"");
    }

    #[test]
    fn of_keys_that_are_the_same_once_sanitized_the_first_stays() {
        let mut meta = metadata("id", "web");
        meta.labels =
            vec![("a-b".into(), "1".into()), ("a.b".into(), "2".into()), ("a_b".into(), "3".into())];
        assert_eq!(render(Some(&meta), "", &Kept::All)[0], "container_label_a_b=\"1\"");
    }

    #[test]
    fn labels_beyond_what_a_line_may_hold_are_left_out() {
        let mut meta = metadata("id", "web");
        meta.labels = (0..100).map(|i| (format!("k{i:02}"), "v".repeat(4000))).collect();
        meta.labels.push(("z".into(), "1".into()));
        let before = &render(Some(&meta), "", &Kept::All)[0];
        assert!(before.len() <= MOST && before.len() > MOST - 8100, "{}", before.len());
        assert!(
            before.starts_with("container_label_k00=\"vvv") && before.ends_with(",container_label_z=\"1\"")
        );
    }

    #[test]
    fn a_restart_count_is_a_label_too() {
        let mut meta = metadata("id", "web");
        meta.labels = vec![("z".into(), "1".into())];
        meta.restart_count = Some(3);
        assert_eq!(
            render(Some(&meta), "", &Kept::All)[0],
            "container_label_restartcount=\"3\",container_label_z=\"1\""
        );
        assert_eq!(render(Some(&meta), "", &Kept::These(vec![]))[0], "");
    }
}
