//! Answers: the likeliest token again and again, freely or within a grammar.

use tch::Tensor;

use super::error::ReaderError;
use super::grammar::{Place, Vocabulary};
use super::model::{Model, Prompt};

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its tokens; the one that ends it is the last, where it ended by itself.
    pub ids: Vec<i64>,
    /// The whole vocabulary's logits of its first token.
    pub first_logits: Vec<f32>,
}

/// Why a constrained answer is none.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The caller wanted no more.
    #[error("it was stopped before its answer was complete")]
    Stopped,
    /// The model can't be asked.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// There is no token for what the grammar asks for.
    #[error("the tokenizer has no token that goes on from \"{0}\" within the grammar")]
    Stuck(String),
}

/// The likeliest tokens after a prompt, up to one that ends the answer or to `most`.
///
/// # Errors
/// Those of [`Model::read`].
pub fn greedy(model: &Model, prompt: &Prompt, most: usize) -> Result<Answer, ReaderError> {
    let (mut sequence, mut logits) = model.read(prompt, most as i64)?;
    let first_logits = to_vec(&logits)?;
    let mut ids = Vec::new();
    while ids.len() < most {
        let id = logits.argmax(0, false).int64_value(&[]);
        ids.push(id);
        if model.config().ends.contains(&id) || ids.len() == most {
            break;
        }
        logits = model.go_on(&mut sequence, &[id]);
    }
    Ok(Answer { ids, first_logits })
}

/// The likeliest tokens that a grammar allows, up to its end. Where it allows one token only, the model isn't asked; such
/// tokens go to it together with the next choice.
///
/// # Errors
/// [`AnswerError::Stopped`] where `go_on` says no, which is asked before every step of the model.
pub fn constrained(
    model: &Model,
    prompt: &Prompt,
    vocabulary: &Vocabulary,
    most: usize,
    go_on: &dyn Fn() -> bool,
) -> Result<Answer, AnswerError> {
    if !go_on() {
        return Err(AnswerError::Stopped);
    }
    let (mut sequence, mut logits) = model.read(prompt, most as i64)?;
    let first_logits = to_vec(&logits)?;
    let (mut ids, mut pending) = (Vec::new(), Vec::new());
    let mut place = vocabulary.start();
    let mut scores = first_logits.clone();
    while !place.must_end() && ids.len() < most {
        let allowed = vocabulary.allowed(place);
        let id = match allowed.as_slice() {
            // A place that can end ends when the model would end.
            [only] if !place.may_end() => *only,
            _ => {
                if !pending.is_empty() {
                    if !go_on() {
                        return Err(AnswerError::Stopped);
                    }
                    logits = model.go_on(&mut sequence, &pending);
                    scores = to_vec(&logits).map_err(AnswerError::Reader)?;
                    pending.clear();
                }
                match likeliest(&scores, &allowed, place, model) {
                    Choice::End => break,
                    Choice::Token(id) => id,
                    Choice::None => {
                        return Err(AnswerError::Stuck(vocabulary.text(&ids)));
                    }
                }
            }
        };
        place = vocabulary.after(place, id);
        ids.push(id);
        pending.push(id);
    }
    Ok(Answer { ids, first_logits })
}

enum Choice {
    End,
    Token(i64),
    None,
}

fn likeliest(scores: &[f32], allowed: &[i64], place: Place, model: &Model) -> Choice {
    let score = |id: &i64| scores.get(*id as usize).copied().unwrap_or(f32::MIN);
    let best = allowed
        .iter()
        .max_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a)));
    let end = model
        .config()
        .ends
        .iter()
        .map(score)
        .max_by(f32::total_cmp)
        .filter(|_| place.may_end());
    match (best, end) {
        (Some(id), Some(end)) if score(id) > end => Choice::Token(*id),
        (Some(id), None) => Choice::Token(*id),
        (_, Some(_)) => Choice::End,
        // An answer that may end where no token ends answers.
        (None, None) if place.may_end() => Choice::End,
        (None, None) => Choice::None,
    }
}

fn to_vec(logits: &Tensor) -> Result<Vec<f32>, ReaderError> {
    Ok(Vec::<f32>::try_from(logits)?)
}
