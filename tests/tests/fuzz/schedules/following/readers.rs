//! What readers of one projection have seen, and what they may see next.

use unspool::vocabulary::Position;

/// Readers that look again and again. Unless they are told, nobody takes them back in time.
#[derive(Debug, Default)]
pub struct Readers {
    newest: Position,
    /// Something is under way that may take them back, and says so in its answer.
    may_go_back: bool,
    /// From where to where they were taken, with nobody having said so yet.
    went_back: Option<(Position, Position)>,
    complaint: Option<String>,
}

/// What was said at the end of something that may take readers back.
#[derive(Debug, Clone, Copy)]
pub enum Said {
    /// From where to where they were taken, if they were.
    Answer(Option<(Position, Position)>),
    /// That they were taken back.
    Something,
    /// Its host was gone before it could say anything.
    Nothing,
}

impl Readers {
    /// They see the history up to `position`.
    pub fn see(&mut self, position: Position) {
        let before = std::mem::replace(&mut self.newest, position);
        if position >= before {
            return;
        }
        if self.may_go_back {
            self.went_back = Some((before, position));
        } else {
            self.complain(format!("readers were taken back from {before} to {position}"));
        }
    }

    /// Something begins that may take them back, if it says so.
    pub fn may_go_back(&mut self) {
        self.may_go_back = true;
    }

    /// It has ended, with readers at `position` now, and said something or not.
    pub fn told(&mut self, position: Position, said: Said) {
        self.see(position);
        self.may_go_back = false;
        match (self.went_back.take(), said) {
            (Some((from, to)), Said::Answer(None)) => {
                self.complain(format!("readers were taken back from {from} to {to}, and nobody has said so"));
            }
            (_, Said::Answer(Some((from, to)))) if to >= from => {
                self.complain(format!("from {from} to {to} is not back"));
            }
            _ => {}
        }
    }

    /// The first thing that is wrong with what they saw.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    fn complain(&mut self, complaint: String) {
        self.complaint.get_or_insert(complaint);
    }
}
