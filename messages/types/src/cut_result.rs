//! Results of calls, cut to the room there is for them.

use crate::{CallDetail, CallFinished, CallResult, Content, Outcome, Printed};

impl CallFinished {
    /// The same with each long text cut to about so many bytes: its start and its end are kept, and
    /// what is left out is said. For a log that has little room left.
    #[must_use]
    pub fn cut(&self, most: usize) -> Self {
        let mut cut = self.clone();
        match &mut cut.result {
            CallResult::Nothing | CallResult::NotWritten { .. } => {}
            CallResult::Content { content } => {
                for content in content {
                    match content {
                        Content::Text { text } => cut_middle(text, most),
                        // Half of an image is none.
                        Content::Image { url } if url.len() > most => {
                            *content = Content::text("(an image, left out: the disk was full)");
                        }
                        Content::Image { .. } => {}
                    }
                }
            }
            CallResult::Command(result) => {
                result.output.cut(most);
                result.sandbox.iter_mut().for_each(|text| cut_middle(text, most));
                for host in &mut result.refused_hosts {
                    cut_middle(&mut host.reason, most);
                }
            }
        }
        if let Outcome::Failed(failure) = &mut cut.outcome {
            cut_middle(&mut failure.message, most);
        }
        match &mut cut.detail {
            Some(CallDetail::Command { argv, .. }) => {
                argv.iter_mut().for_each(|word| cut_middle(word, most));
            }
            Some(CallDetail::Patch { changes }) => {
                changes.iter_mut().for_each(|change| cut_middle(&mut change.diff, most));
            }
            Some(CallDetail::Tool { summary }) => cut_middle(summary, most),
            Some(CallDetail::Interact { .. } | CallDetail::Plan) | None => {}
        }
        cut
    }
}

impl Printed {
    /// Leaves out more between the start and the end.
    fn cut(&mut self, most: usize) {
        let had = self.head.len() + self.tail.len();
        if had <= most {
            return;
        }
        if self.tail.is_empty() {
            let at = self.head.ceil_char_boundary(self.head.len() / 2);
            self.tail = self.head.split_off(at);
        }
        self.head.truncate(self.head.floor_char_boundary(most / 2));
        let start = self.tail.len().saturating_sub(most / 2);
        self.tail.drain(..self.tail.ceil_char_boundary(start));
        self.omitted += (had - self.head.len() - self.tail.len()) as u64;
    }
}

fn cut_middle(text: &mut String, most: usize) {
    if text.len() <= most {
        return;
    }
    let head = text.floor_char_boundary(most / 2);
    let tail = text.ceil_char_boundary(text.len() - most / 2);
    let left_out = format!("…{} bytes left out…", tail - head);
    text.replace_range(head..tail, &left_out);
}
