//! Places for things that come and go, each found by its number.

/// Values in numbered places; a place that was left is used again.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slots<T> {
    /// Puts `value` into a free place, and tells its number.
    pub(crate) fn insert(&mut self, value: T) -> usize {
        let free = self.free.pop();
        if let Some((number, place)) = free.and_then(|number| {
            let place = self.places.get_mut(number)?;
            Some((number, place))
        }) {
            *place = Some(value);
            return number;
        }
        self.places.push(Some(value));
        self.places.len() - 1
    }

    /// Empties a place.
    pub(crate) fn remove(&mut self, number: usize) -> Option<T> {
        let value = self.places.get_mut(number)?.take()?;
        self.free.push(number);
        Some(value)
    }

    /// How many places are taken.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_left_is_used_again_and_only_once() {
        let mut slots = Slots::default();
        let [first, second] = ["a", "b"].map(|value| slots.insert(value));
        assert_eq!(slots.remove(first), Some("a"));
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.insert("c"), first);
        assert_ne!(slots.insert("d"), second);
        assert_eq!(slots.iter().count(), 3);
    }
}
