//! The places between two changes of the file system where a test may look at what a crash would leave.

#[cfg(test)]
type Hook = Box<dyn FnMut(&str)>;

#[cfg(test)]
thread_local! {
    static HOOK: std::cell::RefCell<Option<Hook>> = const { std::cell::RefCell::new(None) };
}

/// Something was just done to the files. Nothing happens outside of tests.
#[inline]
pub(crate) fn reached(_what: &str) {
    #[cfg(test)]
    HOOK.with(|hook| {
        // Taken out meanwhile: what the hook does may come here again.
        let taken = hook.borrow_mut().take();
        if let Some(mut call) = taken {
            call(_what);
            hook.borrow_mut().get_or_insert(call);
        }
    });
}

/// Runs `work` on this thread with a hook that is called at each place.
#[cfg(test)]
pub(crate) fn with_hook<T>(hook: impl FnMut(&str) + 'static, work: impl FnOnce() -> T) -> T {
    HOOK.with(|place| *place.borrow_mut() = Some(Box::new(hook)));
    let result = work();
    HOOK.with(|place| place.borrow_mut().take());
    result
}
