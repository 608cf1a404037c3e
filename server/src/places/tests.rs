use super::*;

/// The most unready sockets of these tests.
const MOST_UNREADY: usize = 3;

fn places(most: usize, most_closing: usize) -> Arc<Places> {
    Arc::new(Places::new(most, most_closing, MOST_UNREADY))
}

/// Fills all places that are free with connections.
fn fill(places: &Places) -> usize {
    (0..1000).take_while(|_| places.enter()).count()
}

fn is_dropped(closing: &Closing) -> bool {
    closing.poll_dropped(&Context::from_waker(Waker::noop())).is_ready()
}

fn has_room(places: &Places) -> bool {
    let mut room = std::pin::pin!(places.room());
    room.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Closes the socket, and gives its place back.
fn close(places: &Places, closing: Closing) {
    drop(closing);
    places.leave();
}

#[test]
fn there_are_as_many_places_as_there_are() {
    let places = places(3, 3);
    assert_eq!(fill(&places), 3);
    assert!(!places.enter() && places.enter_refused().is_none());
    places.leave();
    assert_eq!(fill(&places), 1);
}

#[test]
fn the_oldest_that_closes_makes_room_and_refused_ones_go_first() {
    let places = places(4, 4);
    assert!(places.enter() && places.enter());
    let [older, younger] = [places.begin_closing(), places.begin_closing()];
    let refused = [places.enter_refused().unwrap(), places.enter_refused().unwrap()];
    for (expected, closing) in [&refused[0], &refused[1], &older, &younger].into_iter().enumerate() {
        assert!(!is_dropped(closing));
        assert!(places.enter());
        assert!(is_dropped(closing), "number {expected} goes");
    }
    assert!(!places.enter(), "all four are told to go, and none has gone");
    assert_eq!((places.closing(), places.dropped()), (4, 4));
    for closing in refused.into_iter().chain([older, younger]) {
        close(&places, closing);
    }
    assert_eq!((places.closing(), places.dropped(), fill(&places)), (0, 4, 0));
}

#[test]
fn those_that_close_have_a_bound_of_their_own() {
    let places = places(100, 2);
    (0..3).for_each(|_| assert!(places.enter()));
    let [first, second] = [places.begin_closing(), places.begin_closing()];
    assert!(places.enter_refused().is_none(), "it is at the bound, and no other refused one is there");
    assert!(!is_dropped(&first));
    let third = places.begin_closing();
    assert!(is_dropped(&first) && !is_dropped(&second) && !is_dropped(&third), "one above the bound");
}

#[test]
fn a_refused_one_makes_room_for_the_next_and_for_nothing_else() {
    let places = places(2, 2);
    assert_eq!(fill(&places), 2);
    let ended = places.begin_closing();
    assert!(places.enter_refused().is_none() && !is_dropped(&ended));
    close(&places, ended);
    let refused = places.enter_refused().unwrap();
    let next = places.enter_refused().unwrap();
    assert!(is_dropped(&refused) && !is_dropped(&next));
}

#[test]
fn there_is_room_again_when_what_was_told_to_go_has_gone() {
    let places = places(2, 2);
    assert_eq!(fill(&places), 2);
    let closing = places.begin_closing();
    assert!(has_room(&places));
    places.enter_admitted();
    assert!(is_dropped(&closing) && !has_room(&places), "it is still open");
    close(&places, closing);
    assert!(has_room(&places));
}

/// A connection that the machine has ended does not know that yet, and the machine admits another.
#[test]
fn one_that_is_admitted_above_the_bound_has_the_next_that_closes_dropped() {
    let places = places(2, 2);
    assert_eq!(fill(&places), 2);
    places.enter_admitted();
    assert!(!has_room(&places));
    let closing = places.begin_closing();
    assert!(is_dropped(&closing));
    close(&places, closing);
    assert!(has_room(&places));
}

#[test]
fn nothing_is_dropped_when_all_are_kept() {
    let places = places(2, 1);
    assert_eq!(fill(&places), 2);
    places.keep_all();
    let closing = [places.begin_closing(), places.begin_closing()];
    assert!(!closing.iter().any(is_dropped));
    assert!(!places.enter());
}

fn is_told_to_go(unready: &Unready) -> bool {
    unready.poll_dropped(&Context::from_waker(Waker::noop())).is_ready()
}

/// As many unready sockets as may be.
fn fill_unready(places: &Arc<Places>) -> Vec<Unready> {
    (0..MOST_UNREADY).map(|_| places.enter_unready().unwrap()).collect()
}

#[test]
fn one_unready_socket_more_and_the_oldest_goes() {
    let places = places(100, 100);
    let unready = fill_unready(&places);
    assert!(!unready.iter().any(is_told_to_go));
    let last = places.enter_unready().unwrap();
    assert!(is_told_to_go(&unready[0]) && !unready[1..].iter().any(is_told_to_go) && !is_told_to_go(&last));
    assert_eq!((places.unready(), places.unready_dropped()), (MOST_UNREADY + 1, 1), "it is still open");
    drop((unready, last));
    assert_eq!((places.unready(), places.unready_dropped(), fill(&places)), (0, 1, 100));
}

#[test]
fn unready_sockets_never_keep_out_or_push_out_what_has_a_connection() {
    let places = places(4, 2);
    assert!(places.enter());
    let ended = places.begin_closing();
    assert!(places.enter());
    let [first, second] = [places.enter_unready().unwrap(), places.enter_unready().unwrap()];
    assert!(!is_dropped(&ended) && !is_told_to_go(&first));
    let third = places.enter_unready().unwrap();
    assert!(is_told_to_go(&first), "all places are taken, and it is the oldest of its kind");
    drop(first);
    assert!(places.enter() && is_told_to_go(&second));
    drop(second);
    places.enter_admitted();
    assert!(is_told_to_go(&third) && !is_dropped(&ended), "it has replies to deliver");
    drop(third);
    assert!(places.enter_unready().is_none(), "connections have all the places");
    close(&places, ended);
    assert_eq!((fill(&places), places.unready()), (1, 0));
    assert!(has_room(&places));
}

#[test]
fn a_refused_socket_makes_room_for_an_unready_one_only_if_there_are_too_many_sockets() {
    let places = places(5, 2);
    let refused = places.enter_refused().unwrap();
    let unready = fill_unready(&places);
    let next = places.enter_unready().unwrap();
    assert!(!is_dropped(&refused) && is_told_to_go(&unready[0]), "there are too many of its own kind");
    drop((unready, next));
    assert!((0..4).all(|_| places.enter()));
    let last = places.enter_unready().unwrap();
    assert!(is_dropped(&refused) && !is_told_to_go(&last));
}

#[test]
fn an_unready_socket_keeps_its_place_when_it_is_ready() {
    let places = places(2, 2);
    places.enter_unready().unwrap().admitted();
    assert_eq!((places.unready(), fill(&places)), (0, 1), "it has one place of the two");
    places.leave();
    let told_to_go = places.enter_unready().unwrap();
    assert!(places.enter() && is_told_to_go(&told_to_go));
    let closing = places.begin_closing();
    told_to_go.admitted();
    assert!(is_dropped(&closing), "it was ready before it went, so that something else goes");
    close(&places, closing);
    assert_eq!((fill(&places), has_room(&places)), (0, true));
}

#[test]
fn an_unready_socket_that_is_refused_gets_a_place_like_any_other() {
    let places = places(2, 1);
    let first = places.enter_unready().unwrap().refused().unwrap();
    let second = places.enter_unready().unwrap().refused().unwrap();
    assert!(is_dropped(&first) && !is_dropped(&second), "one may be closing");
    close(&places, first);
    close(&places, second);
    assert_eq!(fill(&places), 2);
    places.leave();
    let unready = places.enter_unready().unwrap();
    let ended = places.begin_closing();
    assert!(unready.refused().is_none(), "no refused one is there to make room");
    close(&places, ended);
    assert_eq!(fill(&places), 2);
}

#[test]
fn a_shutdown_has_all_unready_sockets_go() {
    let places = places(100, 100);
    let unready = fill_unready(&places);
    places.keep_all();
    assert!(unready.iter().all(is_told_to_go));
    drop(unready);
    assert_eq!((places.unready(), fill(&places)), (0, 100));
}
