//! Single slips of the kinds that people make, drawn by a seed.

use std::collections::BTreeMap;

use sluicegate::clock::SeededEntropy;

/// Texts by path, relative to the project.
pub type Project = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    DroppedLine,
    DoubledLine,
    MisspeltName,
    OtherNumber,
    OtherType,
    OtherWord,
    RemovedFile,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::DroppedLine,
        Self::DoubledLine,
        Self::MisspeltName,
        Self::OtherNumber,
        Self::OtherType,
        Self::OtherWord,
        Self::RemovedFile,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::DroppedLine => "a line is dropped",
            Self::DoubledLine => "a line is there twice",
            Self::MisspeltName => "a key or name is misspelt",
            Self::OtherNumber => "a number is another",
            Self::OtherType => "a value is of another type",
            Self::OtherWord => "a word is another that could stand there",
            Self::RemovedFile => "a file is removed",
        }
    }

    /// Of a hundred. There are few files, and few words that have others in their place.
    fn weight(self) -> u64 {
        match self {
            Self::MisspeltName => 32,
            Self::DroppedLine | Self::OtherNumber | Self::OtherType => 17,
            Self::DoubledLine => 7,
            Self::OtherWord => 7,
            Self::RemovedFile => 3,
        }
    }

    fn drawn(luck: &Luck) -> Self {
        let mut left = luck.below(100);
        for kind in Self::ALL {
            match left.checked_sub(kind.weight()) {
                Some(less) => left = less,
                None => return kind,
            }
        }
        Self::RemovedFile
    }
}

#[derive(Clone, Debug)]
pub struct Edit {
    pub kind: Kind,
    pub file: String,
    /// From 1; of a removed file, its first.
    pub line: usize,
    pub before: String,
    pub after: String,
    /// Of the whole file; `None`: removed.
    pub text: Option<String>,
}

struct Luck(SeededEntropy);

impl Luck {
    fn below(&self, limit: u64) -> u64 {
        self.0.next() % limit.max(1)
    }

    fn one<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        of.get(usize::try_from(self.below(of.len() as u64)).unwrap())
    }
}

/// The slip of that seed: always the same.
pub fn edit(project: &Project, seed: u64) -> Edit {
    let luck = Luck(SeededEntropy::new(seed));
    let lines: Vec<(&String, usize, &str)> = project
        .iter()
        .flat_map(|(file, text)| text.lines().enumerate().map(move |(at, line)| (file, at, line)))
        .filter(|(.., line)| !line.trim().is_empty())
        .collect();
    loop {
        let kind = Kind::drawn(&luck);
        if kind == Kind::RemovedFile {
            let files: Vec<&String> = project.keys().collect();
            let file = (*luck.one(&files).unwrap()).clone();
            return Edit { kind, file, line: 1, before: String::new(), after: String::new(), text: None };
        }
        let (file, at, line) = *luck.one(&lines).unwrap();
        let Some(after) = edited(kind, file, line, &luck).filter(|after| after != line) else { continue };
        let mut all: Vec<&str> = project[file].lines().collect();
        let new: Vec<&str> = after.lines().collect();
        all.splice(at..=at, new);
        let text = Some(all.join("\n") + "\n");
        return Edit { kind, file: file.clone(), line: at + 1, before: line.to_owned(), after, text };
    }
}

/// The line as it is then; `None` where there is nothing of the kind in it.
fn edited(kind: Kind, file: &str, line: &str, luck: &Luck) -> Option<String> {
    let with = |(begin, end): (usize, usize), new: &str| format!("{}{new}{}", &line[..begin], &line[end..]);
    let code = code(file, line);
    match kind {
        Kind::DroppedLine => Some(String::new()),
        Kind::DoubledLine => Some(format!("{line}\n{line}")),
        Kind::MisspeltName => {
            let names = spans(code, |c| c.is_ascii_alphabetic() || c == '_');
            let names: Vec<_> = names.into_iter().filter(|(begin, end)| end - begin > 2).collect();
            let name = *luck.one(&names)?;
            Some(with(name, &misspelt(&line[name.0..name.1], luck)))
        }
        Kind::OtherNumber => {
            let number = *luck.one(&numbers(code))?;
            let value: u64 = line[number.0..number.1].parse().ok()?;
            let other = [value + 1, value * 10, 0];
            Some(with(number, &luck.one(&other)?.to_string()))
        }
        Kind::OtherType => {
            let (value, new) = luck.one(&values(file, code))?.clone();
            Some(with(value, &new))
        }
        Kind::OtherWord => {
            let words = spans(code, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let of = |(begin, end): (usize, usize)| WORDS.iter().find(|group| group.contains(&&code[begin..end]));
            let known: Vec<_> = words.into_iter().filter_map(|word| Some((word, of(word)?))).collect();
            let (word, group) = *luck.one(&known)?;
            let others: Vec<&&str> = group.iter().filter(|other| **other != &code[word.0..word.1]).collect();
            Some(with(word, luck.one(&others)?))
        }
        Kind::RemovedFile => None,
    }
}

/// Words that may stand in each other's place.
const WORDS: [&[&str]; 11] = [
    &["string", "integer", "number", "boolean", "array", "object"],
    &["true", "false"],
    &["dead_letter", "advance"],
    &["block_key", "continue"],
    &["source", "id"],
    &["EUR", "USD"],
    &["settled", "pending"],
    &["permanent", "transient", "script"],
    &["rejected", "timeout", "gap", "not_json"],
    &["created", "shipped", "booked"],
    &["date-time", "date", "email"],
];

/// Without its comment.
fn code<'l>(file: &str, line: &'l str) -> &'l str {
    let sign = if file.ends_with(".rhai") { "// " } else { "# " };
    line.split(sign).next().unwrap_or(line)
}

/// Runs of such characters: where each begins and ends.
fn spans(line: &str, is_part: impl Fn(char) -> bool) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, c) in line.char_indices().filter(|(_, c)| is_part(*c)) {
        match found.last_mut() {
            Some((_, end)) if *end == at => *end += c.len_utf8(),
            _ => found.push((at, at + c.len_utf8())),
        }
    }
    found
}

/// Numbers that are no part of a name.
fn numbers(line: &str) -> Vec<(usize, usize)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let numbers = spans(line, |c| c.is_ascii_digit());
    numbers.into_iter().filter(|(begin, _)| !line[..*begin].ends_with(is_name)).collect()
}

/// Two letters change places, or one is left out, or is there twice.
fn misspelt(name: &str, luck: &Luck) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let at = usize::try_from(luck.below(letters.len() as u64 - 1)).unwrap();
    match luck.below(3) {
        0 if letters[at] != letters[at + 1] => letters.swap(at, at + 1),
        1 => letters.insert(at, letters[at]),
        _ => drop(letters.remove(at)),
    }
    letters.into_iter().collect()
}

/// Values, and another that each could be taken for: a number is a text, a text a number, a list its first, one thing a list.
fn values(file: &str, line: &str) -> Vec<((usize, usize), String)> {
    let mut found: Vec<((usize, usize), String)> = Vec::new();
    for (begin, end) in numbers(line) {
        found.push(((begin, end), format!("\"{}\"", &line[begin..end])));
    }
    let quotes: Vec<usize> = line.match_indices('"').map(|(at, _)| at).collect();
    for pair in quotes.chunks_exact(2) {
        found.push(((pair[0], pair[1] + 1), "7".to_owned()));
    }
    for word in ["true", "false"] {
        found.extend(line.match_indices(word).map(|(at, _)| ((at, at + word.len()), format!("\"{word}\""))));
    }
    if let (Some(begin), Some(end)) = (line.find('['), line.rfind(']')) {
        let first = line[begin + 1..end].split(',').next().unwrap_or_default().trim();
        found.push(((begin, end + 1), if first.is_empty() { "1".to_owned() } else { first.to_owned() }));
    }
    if file.ends_with(".yaml")
        && let Some((key, value)) = line.split_once(": ")
        && !value.contains(['{', '[', '"', '|'])
    {
        found.push(((key.len() + 2, line.len()), format!("[{value}]")));
    }
    found
}
