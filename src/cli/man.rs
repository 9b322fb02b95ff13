//! `sluice man`: the manual pages, made from the same definition as `--help`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;

use super::failure::{Exit, Failure};
use super::print;

/// Print the manual page of `sluice`, or write one for every command
#[derive(Args, Debug)]
#[command(hide = true)]
#[command(after_help = "\
Examples:
  sluice man | man -l -
  sluice man ~/.local/share/man/man1     sluice.1, sluice-run.1, sluice-dlq-list.1 …")]
pub struct ManArgs {
    /// Directory to write the pages to; it is made when it is not there
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// `command` is the whole command line.
pub fn man(arguments: &ManArgs, command: Command) -> Result<Exit, Failure> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let Some(directory) = &arguments.directory else {
        let page = page(&command, "sluice").map_err(|error| Failure::cannot_run(error.to_string()))?;
        print::line(page.trim_end())?;
        return Ok(Exit::Fine);
    };
    let unwritten =
        |error: io::Error| Failure::cannot_run(format!("`{}` cannot be written to: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(unwritten)?;
    let mut pages = Vec::new();
    collect(&command, "sluice", &mut pages).map_err(unwritten)?;
    for (name, page) in &pages {
        std::fs::write(directory.join(format!("{name}.1")), page).map_err(unwritten)?;
    }
    print::line(&format!("wrote {} to `{}`", print::count(pages.len() as u64, "manual page"), directory.display()))?;
    Ok(Exit::Fine)
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    pages.push((name.to_owned(), page(command, name)?));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        collect(verb, &format!("{name}-{}", verb.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<String> {
    let man = Man::new(command.clone()).title(name).manual("Sluicegate");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        man.render_subcommands_section(&mut out)?;
    }
    if let Some(examples) = command.get_after_help() {
        // As it stands, line by line: filled into a paragraph, examples could not be read.
        writeln!(out, ".SH EXAMPLES\n.nf")?;
        for line in examples.to_string().trim_start_matches("Examples:\n").lines() {
            writeln!(out, "{}", literal(line))?;
        }
        writeln!(out, ".fi")?;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A line that means nothing to troff.
fn literal(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_looks_like_a_command_of_troff_is_text() {
        assert_eq!(literal(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(literal(r"a\b --c"), r"a\eb \-\-c");
    }
}
