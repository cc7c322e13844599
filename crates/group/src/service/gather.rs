//! One answer made of several, which come when they come.

use std::sync::{Arc, Mutex};

use crate::Reply;

type Finish<T, R> = Box<dyn FnOnce(Vec<T>) -> R + Send>;

struct State<T, R> {
    parts: Vec<Option<T>>,
    missing: usize,
    finish: Option<(Finish<T, R>, Reply<R>)>,
}

/// Collects parts in the order in which they were asked for.
pub(super) struct Gather<T, R> {
    state: Arc<Mutex<State<T, R>>>,
}

impl<T: Send + 'static, R: 'static> Gather<T, R> {
    /// Expects `count` parts. With none, the answer is given at once.
    pub(super) fn new(
        count: usize,
        finish: impl FnOnce(Vec<T>) -> R + Send + 'static,
        reply: Reply<R>,
    ) -> Gather<T, R> {
        let mut finish = Some((Box::new(finish) as Finish<T, R>, reply));
        if count == 0
            && let Some((finish, reply)) = finish.take()
        {
            reply(finish(Vec::new()));
        }
        let parts = std::iter::repeat_with(|| None).take(count).collect();
        Gather { state: Arc::new(Mutex::new(State { parts, missing: count, finish })) }
    }

    /// Takes part `index`. The last one to come gives the answer.
    pub(super) fn part(&self, index: usize) -> Reply<T> {
        let state = Arc::clone(&self.state);
        Box::new(move |part| {
            let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(place) = state.parts.get_mut(index)
                && place.replace(part).is_none()
            {
                state.missing -= 1;
            }
            if state.missing > 0 {
                return;
            }
            let parts = std::mem::take(&mut state.parts).into_iter().flatten().collect();
            let finish = state.finish.take();
            drop(state);
            if let Some((finish, reply)) = finish {
                reply(finish(parts));
            }
        })
    }
}
