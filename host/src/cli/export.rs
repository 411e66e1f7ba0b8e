//! `model export`: read models as files for other engines.
//!
//! A file is written as a draft in the directory where it is to be, and gets its name when all drafts of the export are
//! complete and on the disk: what has the name is whole.

use super::{
    INTERRUPTED,
    args::ExportArgs,
    hosting::{self, Hosting},
    output::Output,
    paths,
    progress::{LOOK, Steps},
    session::{Session, json, unknown_answer},
};
use crate::{
    control::{ControlError, ExportedTable, ModelRow, Request, Row, TableHead},
    export::{ExportError, Format, RowWriter},
    vocabulary::Work,
};
use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Instant,
};
use tempfile::NamedTempFile;

/// Exports one table or all of a projection.
pub(super) fn export(session: &Session, data: &Path, args: &ExportArgs, output: &Output) -> Result<u8, ControlError> {
    if let Some(path) = &args.out {
        paths::refuse_inside(data, path)?;
    }
    let out = Out::new(args, output)?;
    let hosting = match out {
        Out::Stdout => hosting::serve_meanwhile(session)?,
        // Drafts are to be removed.
        _ => Some(Hosting::begin(session, INTERRUPTED, false)?),
    };
    let is_interrupted = || hosting.as_ref().is_some_and(|hosting| hosting.ending.is_asked());
    let quiet = output.is_json() || (matches!(out, Out::Stdout) && io::stdout().is_terminal());
    let mut export = Export { args, out, tables: Vec::new(), progress: ExportProgress::new(args, quiet) };
    let mut failed = None;
    let answer = session.ask(request(args), &mut |row| {
        failed = export.take(row).err();
        failed.is_none() && !is_interrupted()
    });
    let done = match (failed, answer) {
        // Nobody reads any more, which is not a failure.
        (Some(Failure::ClosedPipe), _) => Ok(0),
        (Some(Failure::Error(e)), _) | (None, Err(e)) => Err(e),
        (None, Ok(_)) if is_interrupted() => Ok(INTERRUPTED),
        (None, Ok(_)) => export.finish(output),
    };
    hosting::wait_for_others(session, hosting.as_ref());
    done
}

/// What is requested of the host.
pub(super) fn request(args: &ExportArgs) -> Request {
    Request::ModelExport {
        name: args.model.name.clone(),
        table: args.model.table.clone(),
        generation: args.generation.clone(),
        columns: args.format.has_columns(),
    }
}

/// Where the export goes.
enum Out {
    Stdout,
    File(PathBuf),
    Directory(PathBuf),
}

impl Out {
    fn new(args: &ExportArgs, output: &Output) -> Result<Out, ControlError> {
        let (format, name) = (args.format.name(), &args.model.name);
        let path = args.out.as_deref().filter(|path| *path != Path::new("-"));
        match (path, &args.model.table) {
            (Some(path), Some(table)) if path.is_dir() => Ok(Out::File(path.join(format!("{table}.{format}")))),
            (Some(path), Some(_)) => Ok(Out::File(path.to_owned())),
            (Some(path), None) => Ok(Out::Directory(path.to_owned())),
            (None, None) => Err(ControlError::refused(format!(
                "all tables of {name} go to a directory: name one with --out DIR, or one table as {name}/TABLE"
            ))),
            (None, Some(_)) if args.format == Format::Parquet => {
                Err(ControlError::refused("Parquet does not go to standard output: name a file with --out FILE"))
            }
            (None, Some(_)) if output.is_json() && args.format == Format::Csv => Err(ControlError::refused(
                "with --json standard output has JSON alone: name a file for the CSV with --out FILE",
            )),
            (None, Some(_)) => Ok(Out::Stdout),
        }
    }

    /// The file of one table; `None` for standard output.
    fn file(&self, table: &str, format: Format) -> Option<PathBuf> {
        match self {
            Out::Stdout => None,
            Out::File(path) => Some(path.clone()),
            Out::Directory(path) => Some(path.join(format!("{table}.{}", format.name()))),
        }
    }
}

/// Why rows are not taken any more.
enum Failure {
    ClosedPipe,
    Error(ControlError),
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Failure {
        Failure::Error(error)
    }
}

/// The tables of an export, the last of which is being written.
struct Export<'a> {
    args: &'a ExportArgs,
    out: Out,
    tables: Vec<Table>,
    progress: ExportProgress,
}

/// How far an export is, as it is shown.
struct ExportProgress {
    steps: Steps,
    work: Work,
    shown: Instant,
}

impl ExportProgress {
    fn new(args: &ExportArgs, quiet: bool) -> ExportProgress {
        let what = format!("exporting {}", args.model.name);
        let work = Work { what, unit: "rows".to_owned(), done: 0, total: None };
        ExportProgress { steps: Steps::new(quiet), work, shown: Instant::now() }
    }

    fn row(&mut self) {
        self.work.done += 1;
        if self.shown.elapsed() >= LOOK {
            self.shown = Instant::now();
            self.steps.show(&self.work, None);
        }
    }
}

struct Table {
    head: TableHead,
    rows: u64,
    /// `None` once it is complete.
    writer: Option<Box<dyn RowWriter>>,
    /// `None` for standard output.
    draft: Option<Draft>,
}

impl Export<'_> {
    /// Takes what the host gives: a table's head, or a row of the table whose head came last.
    fn take(&mut self, row: Row) -> Result<(), Failure> {
        let ModelRow { key, value } = match row {
            Row::Table(head) => return self.begin(head),
            Row::Model(row) => row,
            Row::Progress(work) => {
                self.progress.steps.show(&work, None);
                return Ok(());
            }
            _ => return Err(unknown_answer().into()),
        };
        let Some(Table { rows, writer: Some(writer), draft, .. }) = self.tables.last_mut() else {
            return Err(unknown_answer().into());
        };
        *rows += 1;
        self.progress.row();
        writer.row(&key, &value).map_err(|e| failure(draft.as_ref(), e))
    }

    fn begin(&mut self, mut head: TableHead) -> Result<(), Failure> {
        self.complete_last()?;
        let columns = std::mem::take(&mut head.columns);
        self.progress.work.total = head.all;
        let path = self.out.file(&head.table, self.args.format);
        if let (Out::Directory(path), true) = (&self.out, self.tables.is_empty()) {
            fs::create_dir_all(path).map_err(|e| about(path, &e))?;
        }
        let draft = path.map(|path| Draft::new(path, self.args.force)).transpose()?;
        let writer = match &draft {
            Some(draft) => self.args.format.writer(columns, BufWriter::new(draft.writer()?)),
            None => self.args.format.writer(columns, BufWriter::new(io::stdout())),
        };
        let writer = Some(writer.map_err(|e| failure(draft.as_ref(), e))?);
        self.tables.push(Table { head, rows: 0, writer, draft });
        Ok(())
    }

    /// Completes what is being written, up to its name.
    fn complete_last(&mut self) -> Result<(), Failure> {
        let Some(Table { writer, draft, .. }) = self.tables.last_mut() else { return Ok(()) };
        if let Some(writer) = writer.take() {
            writer.finish().map_err(|e| failure(draft.as_ref(), e))?;
        }
        Ok(draft.as_ref().map_or(Ok(()), Draft::sync)?)
    }

    /// Gives the files their names, now that all are complete.
    fn finish(mut self, output: &Output) -> Result<u8, ControlError> {
        match self.complete_last() {
            Err(Failure::Error(e)) => return Err(e),
            Ok(()) | Err(Failure::ClosedPipe) => {}
        }
        drop(self.progress);
        for Table { head, rows, draft, .. } in self.tables {
            let Some(draft) = draft else { continue };
            let file = draft.publish(self.args.force)?;
            output.answer(&json(&ExportedTable {
                projection_name: self.args.model.name.clone(),
                table: head.table,
                generation: head.generation,
                format: self.args.format.name().to_owned(),
                rows,
                file: file.display().to_string(),
            }));
        }
        Ok(0)
    }
}

/// A file that has not got its name yet. Removed when dropped.
struct Draft {
    path: PathBuf,
    file: NamedTempFile,
}

impl Draft {
    fn new(path: PathBuf, force: bool) -> Result<Draft, ControlError> {
        match fs::metadata(&path) {
            Ok(found) if !found.is_file() => {
                return Err(ControlError::not_possible(format!("{} is not a file; name another", path.display())));
            }
            Ok(_) if !force => return Err(exists(&path)),
            _ => {}
        }
        let mut named = tempfile::Builder::new();
        // What the umask allows, as for any file that a command writes.
        named.prefix(".unspool-").suffix(".draft").permissions(fs::Permissions::from_mode(0o666));
        let file = named.tempfile_in(folder(&path)).map_err(|e| about(&path, &e))?;
        Ok(Draft { path, file })
    }

    fn writer(&self) -> Result<File, ControlError> {
        self.file.as_file().try_clone().map_err(|e| about(&self.path, &e))
    }

    fn sync(&self) -> Result<(), ControlError> {
        self.file.as_file().sync_all().map_err(|e| about(&self.path, &e))
    }

    /// Gives the file its name, and returns which that is.
    fn publish(self, force: bool) -> Result<PathBuf, ControlError> {
        let Draft { path, file } = self;
        let named = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        named.map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&path),
            _ => about(&path, &e.error),
        })?;
        File::open(folder(&path)).and_then(|folder| folder.sync_all()).map_err(|e| about(&path, &e))?;
        Ok(path)
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn exists(path: &Path) -> ControlError {
    ControlError::not_possible(format!("{} exists; --force replaces it", path.display()))
}

fn about(path: &Path, error: &io::Error) -> ControlError {
    ControlError::failed(format!("{}: {error}", path.display()))
}

fn failure(draft: Option<&Draft>, error: ExportError) -> Failure {
    match (draft, error) {
        (None, ExportError::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
        (None, e) => Failure::Error(ControlError::failed(format!("standard output: {e}"))),
        (Some(draft), e) => Failure::Error(ControlError::failed(format!("{}: {e}", draft.path.display()))),
    }
}
