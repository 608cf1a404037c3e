use super::*;
use futures_util::{SinkExt, StreamExt};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

type Client = WebSocketStream<DuplexStream>;

const PEER: Peer = Peer::Ip(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1));

fn upgrade() -> WebSocketUpgrade {
    WebSocketUpgrade { origins: vec![], max_message_bytes: 1000, ping: None }
}

/// A WebSocket after its handshake, and its client.
async fn both(upgrade: &WebSocketUpgrade) -> (WebSocket<DuplexStream>, Client) {
    let (near, far) = duplex(1 << 20);
    let (served, client) = tokio::join!(upgrade.run(near, PEER), client_async("ws://any.example/path", far));
    let (socket, peer) = served.unwrap();
    assert_eq!(peer, PEER);
    (socket, client.unwrap().0)
}

/// What a client is told that says these bytes, up to the end, and why it failed.
async fn refused(upgrade: &WebSocketUpgrade, request: &[u8]) -> (String, String) {
    let (near, mut far) = duplex(1 << 20);
    far.write_all(request).await.unwrap();
    let run = upgrade.run(near, PEER);
    let listen = async {
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        drop(far);
        answer
    };
    let (failed, answer) = tokio::join!(run, listen);
    (answer, failed.unwrap_err().to_string())
}

fn request(heads: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: any\r\n{heads}\r\n").into_bytes()
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// Reads so many bytes.
async fn read(socket: &mut WebSocket<DuplexStream>, bytes: usize) -> String {
    let mut read = vec![0; bytes];
    socket.read_exact(&mut read).await.unwrap();
    String::from_utf8(read).unwrap()
}

/// Reads to the end.
async fn read_to_end(socket: &mut WebSocket<DuplexStream>) -> Vec<u8> {
    let mut read = Vec::new();
    socket.read_to_end(&mut read).await.unwrap();
    read
}

#[tokio::test]
async fn a_page_comes_in_if_its_origin_is_listed() {
    let listed = WebSocketUpgrade { origins: vec!["https://a.example".parse().unwrap()], ..upgrade() };
    for (upgrade, origin, comes_in) in [
        (&upgrade(), None, true),
        (&upgrade(), Some("https://a.example"), false),
        (&listed, None, true),
        (&listed, Some("https://a.example"), true),
        (&listed, Some("https://a.example.evil"), false),
        (&listed, Some("null"), false),
    ] {
        let heads = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let (near, far) = duplex(1 << 20);
        let mut asked = "ws://any/".into_client_request().unwrap();
        if let Some(origin) = origin {
            asked.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let (served, client) = tokio::join!(upgrade.run(near, PEER), client_async(asked, far));
        assert_eq!((served.is_ok(), client.is_ok()), (comes_in, comes_in), "{origin:?}");
        if !comes_in {
            let (answer, why) = refused(upgrade, &request(&format!("{UPGRADE}{heads}"))).await;
            assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with(NO_ORIGIN), "{answer}");
            assert_eq!(why, "WebSocket: the page's origin is not in --ws-origin");
        }
    }
    // One that is listed does not bring in another.
    let two = format!("{UPGRADE}Origin: https://a.example\r\nOrigin: https://b.example\r\n");
    assert!(refused(&listed, &request(&two)).await.0.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn what_asks_for_no_web_socket_is_told_so() {
    let too_old = UPGRADE.replace("13", "8");
    for heads in ["", "Upgrade: h2c\r\nConnection: Upgrade\r\n", &too_old] {
        let (answer, why) = refused(&upgrade(), &request(heads)).await;
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"), "{answer}");
        assert!(answer.ends_with(NO_UPGRADE) && why.starts_with("WebSocket: "), "{answer} {why}");
    }
    for garbage in
        [&b"g foo\n\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n: \r\n\r\n"]
    {
        let (answer, _) = refused(&upgrade(), garbage).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    }
    let endless = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 1 << 20]].concat();
    let (answer, _) = refused(&upgrade(), &endless[..1 << 19]).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}

#[tokio::test]
async fn a_message_ends_a_line() {
    let (mut socket, mut client) = both(&upgrade()).await;
    for (message, lines) in [
        (Message::text("g foo"), "g foo\n"),
        (Message::text("g foo\n"), "g foo\n"),
        (Message::text("g a\r\ng b\n\ng ü"), "g a\r\ng b\n\ng ü\n"),
        (Message::text(""), ""),
        (Message::binary(&b"i x\ni y"[..]), "i x\ni y\n"),
        (Message::Ping(Bytes::from_static(b"!")), ""),
        (Message::text("\n"), "\n"),
    ] {
        client.send(message).await.unwrap();
        assert_eq!(read(&mut socket, lines.len()).await, lines);
    }
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"!")));
    // Whatever room the reader has.
    client.send(Message::text("abc")).await.unwrap();
    client.send(Message::text("d")).await.unwrap();
    for expected in ["a", "b", "c", "\n", "d", "\n"] {
        assert_eq!(read(&mut socket, 1).await, expected);
    }
}

/// Goal: it does not matter how frames are cut. Method: two messages, the second in fragments with a ping in between,
/// arrive cut in two at every byte, and then byte by byte.
#[tokio::test]
async fn frames_may_arrive_in_any_pieces() {
    let frame = |head: u8, payload: &[u8]| {
        let mut frame = vec![head, 0x80 | u8::try_from(payload.len()).unwrap(), 7, 7, 7, 7];
        frame.extend(payload.iter().map(|byte| byte ^ 7));
        frame
    };
    let frames =
        [frame(0x81, b"g foo"), frame(0x01, "r ü".as_bytes()), frame(0x89, b"?"), frame(0x80, b"x\nra")]
            .concat();
    for cut in 0..=frames.len() {
        let (near, mut far) = duplex(1 << 20);
        far.write_all(&request(UPGRADE)).await.unwrap();
        let mut socket = upgrade().run(near, PEER).await.unwrap().0;
        let parts: Vec<&[u8]> =
            if cut == 0 { frames.chunks(1).collect() } else { vec![&frames[..cut], &frames[cut..]] };
        let mut lines = Vec::new();
        for part in parts {
            far.write_all(part).await.unwrap();
            let mut room = [0; 100];
            while let Ok(count) = timeout(Duration::ZERO, socket.read(&mut room)).await {
                lines.extend_from_slice(&room[..count.unwrap()]);
            }
        }
        assert_eq!(String::from_utf8(lines).unwrap(), "g foo\nr üx\nra\n", "cut at {cut}");
    }
}

/// Goal: no bytes make it panic, hang, or return more than came. Method: frames are put together at random, and then
/// bytes of them are changed, dropped and doubled.
#[tokio::test(start_paused = true)]
async fn bent_frames_end_in_lines_or_an_error() {
    let mut seed = 1_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut whole, mut broken) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..=draw(4) {
            let head = [0x81, 0x82, 0x01, 0x80, 0x00, 0x89, 0x8a, 0x88][draw(8) as usize];
            let length = [0_u16, 1, 2, 5, 125, 126, 900][draw(if head > 0x87 { 5 } else { 7 }) as usize];
            bytes.push(head);
            match u8::try_from(length) {
                Ok(short) if short < 126 => bytes.push(0x80 | short),
                _ => bytes.extend([&[0xfe], &length.to_be_bytes()[..]].concat()),
            }
            bytes.extend([0; 4]);
            bytes.extend((0..length).map(|_| b"gr \n\xc3\xbca"[draw(7) as usize]));
        }
        for _ in 0..draw(4) {
            let at = draw(bytes.len() as u64) as usize;
            match draw(3) {
                0 => bytes[at] = draw(256) as u8,
                1 => drop(bytes.drain(at..(at + 3).min(bytes.len()))),
                _ => bytes.insert(at, bytes[at]),
            }
            if bytes.is_empty() {
                bytes.push(0x81);
            }
        }
        let (near, mut far) = duplex(1 << 20);
        far.write_all(&request(UPGRADE)).await.unwrap();
        let mut socket = upgrade().run(near, PEER).await.unwrap().0;
        far.write_all(&bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let mut lines = Vec::new();
        let end = timeout(Duration::from_mins(1), socket.read_to_end(&mut lines)).await;
        assert!(matches!(end, Ok(Ok(_))), "{end:?} after {}", bytes.escape_ascii());
        assert!(lines.len() <= bytes.len() && lines.last().is_none_or(|last| *last == b'\n'));
        if socket.has_failed() { broken += 1 } else { whole += 1 }
    }
    assert!(whole > 1000 && broken > 1000, "{whole} whole, {broken} broken");
}

#[tokio::test]
async fn replies_are_messages_of_whole_lines_in_the_clients_manner() {
    let (mut socket, mut client) = both(&upgrade()).await;
    socket.write_all(b"1 a\n1 b\n1 ").await.unwrap();
    socket.flush().await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("1 a\n1 b\n"));
    socket.write_all(b"c\n").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("1 c\n"));
    socket.write_all(b"\xff\n").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(&b"\xff\n"[..]));
    socket.write_all(b"1 d\n").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("1 d\n"));
    client.send(Message::binary(&b"i x"[..])).await.unwrap();
    assert_eq!(read(&mut socket, 4).await, "i x\n");
    socket.write_all(b"0 e\n").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(&b"0 e\n"[..]));
}

/// Goal: a line longer than a message comes whole, as text, and takes no more memory. Method: lines of two-byte
/// characters, so that a message would end within one.
#[tokio::test]
async fn a_long_line_is_several_messages() {
    let (mut socket, mut client) = both(&upgrade()).await;
    for odd in ["", "x"] {
        let line = format!("{odd}{}\n", "ü".repeat(stream::MOST));
        let write = async {
            socket.write_all(line.as_bytes()).await.unwrap();
            socket.flush().await.unwrap();
        };
        let read = async {
            let mut came = String::new();
            while !came.ends_with('\n') {
                let Message::Text(text) = client.next().await.unwrap().unwrap() else { panic!("not text") };
                assert!(text.len() <= stream::MOST);
                came.push_str(&text);
            }
            came
        };
        assert!(tokio::join!(write, read).1 == line);
    }
}

#[tokio::test]
async fn a_broken_rule_is_the_end_and_has_its_code() {
    let head = |first: u8, length: u8| vec![first, length, 0, 0, 0, 0];
    for (broken, code) in [
        // Of 1001 bytes.
        (vec![0x81, 0xfe, 3, 233, 0, 0, 0, 0], CloseCode::Size),
        ([head(0x81, 0x81), vec![0xff]].concat(), CloseCode::Invalid),
        (vec![0x81, 1, b'x'], CloseCode::Protocol),
        (head(0xc1, 0x80), CloseCode::Protocol),
        (head(0x83, 0x80), CloseCode::Protocol),
        (head(0x80, 0x80), CloseCode::Protocol),
    ] {
        let (mut socket, client) = both(&upgrade()).await;
        let mut far = client.into_inner();
        far.write_all(&[head(0x81, 0x83), b"g x".to_vec(), broken].concat()).await.unwrap();
        assert_eq!(String::from_utf8(read_to_end(&mut socket).await).unwrap(), "g x\n");
        // What comes behind it is dropped.
        far.write_all(&[head(0x81, 0x83), b"r x".to_vec()].concat()).await.unwrap();
        socket.write_all(b"1 last\n").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut client = Client::from_raw_socket(far, Role::Client, None).await;
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("1 last\n"));
        let Message::Close(Some(close)) = client.next().await.unwrap().unwrap() else { panic!("no close") };
        assert_eq!(close.code, code);
    }
}

#[tokio::test]
async fn a_message_may_be_as_long_as_allowed() {
    let (mut socket, mut client) = both(&upgrade()).await;
    let longest = "x".repeat(1000);
    client.send(Message::text(longest.clone())).await.unwrap();
    assert_eq!(read(&mut socket, 1001).await, format!("{longest}\n"));
    client.send(Message::text(format!("{longest}y"))).await.unwrap();
    assert!(read_to_end(&mut socket).await.is_empty());
}

#[tokio::test]
async fn a_client_that_closes_ends_the_input_and_its_replies_are_no_error() {
    for code in [None, Some(CloseFrame { code: CloseCode::Away, reason: "".into() })] {
        let (mut socket, mut client) = both(&upgrade()).await;
        client.send(Message::text("g foo")).await.unwrap();
        client.close(code.clone()).await.unwrap();
        assert_eq!(read_to_end(&mut socket).await, b"g foo\n");
        socket.write_all(b"1 Lock Get Success: foo\n").await.unwrap();
        socket.flush().await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Close(code));
        assert!(client.next().await.is_none());
    }
    // A client that is cut off.
    let (mut socket, client) = both(&upgrade()).await;
    drop(client);
    assert!(read_to_end(&mut socket).await.is_empty());
}

#[tokio::test]
async fn the_last_words_come_before_the_close() {
    let (mut socket, mut client) = both(&upgrade()).await;
    socket.write_all(b"0 Shutting Down\nrest").await.unwrap();
    socket.shutdown().await.unwrap();
    let told = async {
        let mut told = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            told.push(message);
        }
        told
    };
    let left = async move { read_to_end(&mut socket).await };
    let (left, told) = tokio::join!(left, told);
    let close = Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
    assert_eq!(told, [Message::text("0 Shutting Down\n"), Message::text("rest"), close]);
    assert!(left.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_gives_no_sign_is_gone() {
    let ping = Some(Duration::from_secs(10));
    let (mut socket, mut client) = both(&WebSocketUpgrade { ping, ..upgrade() }).await;
    let begin = Instant::now();
    // It answers pings as long as it is read from.
    let mut room = [0; 10];
    let reads = async {
        let mut pings = 0;
        while let Ok(message) = timeout_at(begin + Duration::from_secs(95), client.next()).await {
            assert!(matches!(message, Some(Ok(Message::Ping(_)))), "{message:?}");
            pings += 1;
        }
        pings
    };
    let (error, pings) = tokio::join!(socket.read(&mut room), reads);
    assert_eq!((error.unwrap_err().kind(), pings), (std::io::ErrorKind::TimedOut, 9));
    // The tenth ping was sent at 100 s, and nobody has read it.
    assert_eq!(begin.elapsed(), Duration::from_secs(110));
}
