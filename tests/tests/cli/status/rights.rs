//! Whose hands are kept off a data directory: what others own or may write is not used, and who answers is looked at.

use super::BINARY;
use rustix::process::geteuid;
use serde_json::json;
use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};
use unspool_tests::{data::Data, history, needs::installed, plugins::plugin};

/// The user that owns nothing of ours.
const NOBODY: u32 = 65534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn with_rows() -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(50, &[])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty"]);
    data
}

#[test]
fn a_directory_that_others_may_write_is_refused_and_nothing_is_made_in_it() {
    let data = Data::new(BINARY);
    data.make();
    for mode in [0o777, 0o770, 0o1777] {
        set_mode(&data.path(), mode);
        let events = data.file("events.ndjson", history::mixed(5, &[]));
        data.run(["events", "import", &events.display().to_string()])
            .refused(2, &["others may write", &format!("mode {mode:o}"), "chmod go-w"]);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }
    set_mode(&data.path(), 0o755);
    assert_eq!(data.import(&data.scratch("events.ndjson"))["added"], 5);
}

/// Whatever the umask, everything there is its owner's alone.
#[test]
fn files_are_made_for_their_owner_alone() {
    let data = Data::new(BINARY);
    let events = data.file("events.ndjson", history::mixed(50, &[]));
    let with_umask = |args: &[&str]| {
        let command = data.command(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
        let answer = shell.output().unwrap();
        assert!(answer.status.success(), "{answer:?}");
    };
    let source = format!("file:{}", events.display());
    with_umask(&["events", "import", &events.display().to_string()]);
    with_umask(&["plugin", "install", &plugin("faulty").display().to_string()]);
    with_umask(&["rebuild", "faulty", "--source", &source]);
    with_umask(&["rebuild", "faulty", "--restart", "--detach"]);
    let mut looked_at = 0;
    let mut folders = vec![data.path()];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // A socket may go away meanwhile.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            looked_at += 1;
            assert_eq!(metadata.mode() & 0o077, 0, "{}: {:o}", path.display(), metadata.mode());
        }
    }
    assert!(looked_at >= 6, "{looked_at} files");
}

#[test]
fn files_that_others_may_write_and_links_are_refused() {
    let data = with_rows();
    let store = data.path().join("store.redb");
    set_mode(&store, 0o666);
    data.run(["model", "digest", "faulty"]).refused(2, &["store.redb", "others may write", "chmod go-w"]);
    set_mode(&store, 0o600);
    data.ok(["model", "digest", "faulty"]);
    for name in ["store.redb", "log.redb", "unspool.toml", "compiled", "files", "control.sock", "host.log"] {
        let (entry, away) = (data.path().join(name), data.scratch("away"));
        let was_there = fs::rename(&entry, &away).is_ok();
        symlink(&away, &entry).unwrap();
        data.run(["model", "digest", "faulty"]).refused(2, &[name, "symbolic link"]);
        fs::remove_file(&entry).unwrap();
        if was_there {
            fs::rename(&away, &entry).unwrap();
        }
    }
    // The directory as a whole may be anywhere.
    let link = data.scratch("link");
    symlink(data.path(), &link).unwrap();
    let mut command = data.command(["model", "digest", "faulty"]);
    command.env_clear().env("HOME", "/");
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let answer = Command::new(BINARY).arg("--data").arg(&link).args(&args[2..]).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
}

#[test]
#[ignore = "needs root, to give files away"]
fn what_belongs_to_others_is_refused() {
    assert!(geteuid().is_root(), "only root can give files away");
    let data = with_rows();
    chown(data.path().join("log.redb"), Some(NOBODY), None).unwrap();
    data.run(["model", "digest", "faulty"]).refused(2, &["log.redb", "belongs to user 65534", "chown 0"]);
    chown(data.path().join("log.redb"), Some(0), None).unwrap();
    chown(data.path(), Some(NOBODY), None).unwrap();
    data.run(["model", "digest", "faulty"]).refused(2, &["belongs to user 65534", "chown 0"]);
    chown(data.path(), Some(0), None).unwrap();
    data.ok(["model", "digest", "faulty"]);
}

/// What another user's process answers is not shown, and what it asks is not answered.
#[test]
#[ignore = "needs root, to be another user, and python3"]
fn who_answers_on_the_socket_is_looked_at_and_who_asks_too() {
    assert!(geteuid().is_root(), "only root can be another user");
    installed("python3", "python3");
    let python = |script: &str, socket: &Path| {
        // By its name: the first one in `PATH` may be one that only root may run.
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(socket).uid(NOBODY).gid(NOBODY);
        python
    };
    let data = with_rows();
    let socket = data.path().join("control.sock");
    // Through a door that is open by mistake, while it is.
    set_mode(data.scratch("").as_path(), 0o755);
    set_mode(&data.path(), 0o777);
    let forge = "import socket,sys\ns=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1]);s.listen(8);print('up',flush=True)\n\
                 while 1:\n c,_=s.accept()\n c.recv(65536)\n c.sendall(b'{\"done\":{\"digest\":\"forged\"}}\\n');c.close()";
    let mut forger = python(forge, &socket).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut up = [0; 2];
    std::io::Read::read_exact(forger.stdout.as_mut().unwrap(), &mut up).unwrap();
    let answer = data.run(["model", "digest", "faulty"]);
    assert!(!answer.stdout.contains("forged") && answer.exit == Some(2), "{answer:#?}");
    set_mode(&data.path(), 0o755);
    let answer = data.run(["model", "digest", "faulty"]);
    assert!(!answer.stdout.contains("forged") && answer.exit == Some(2), "{answer:#?}");
    // Made over to us, it is still their process that answers.
    chown(&socket, Some(0), Some(0)).unwrap();
    set_mode(&socket, 0o600);
    let answer = data.run(["model", "digest", "faulty"]);
    assert!(!answer.stdout.contains("forged"), "{answer:#?}");
    forger.kill().unwrap();
    forger.wait().unwrap();

    let _host = data.serve();
    set_mode(&socket, 0o666);
    let ask = "import socket,sys\ns=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\ntry:\n\
               \x20s.sendall(b'{\"request\":\"status\",\"name\":\"faulty\"}\\n');print(len(s.recv(65536)))\n\
               except ConnectionError:\n print('hung up')";
    let asked = python(ask, &socket).output().unwrap();
    let answer = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success() && ["0", "hung up"].contains(&answer.trim()), "{asked:?}");
    set_mode(&socket, 0o600);
    assert_eq!(data.json(["status", "faulty"])["status"], json!("completed"), "the host goes on");
}
