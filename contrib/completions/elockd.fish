complete -c elockd -l config -d 'Configuration file (TOML) with the settings below; a key is a flag\'s name without its dashes' -r -F
complete -c elockd -l pidfile -d 'File for the process id: locked while the daemon runs, and removed at its end' -r -F
complete -c elockd -l state-dir -d 'Directory for what must outlive the daemon: how far fencing tokens were given out' -r -F
complete -c elockd -l listen -d 'Address to listen on: `IP`, `IP:PORT` or `[IPv6]:PORT`; separate several with commas, or repeat the flag' -r
complete -c elockd -l port -d 'TCP port for each --listen address without a port; 0 means no TCP there' -r
complete -c elockd -l tls-listen -d 'Address to listen on with TLS: `IP:PORT` or `[IPv6]:PORT`; separate several with commas, or repeat the flag' -r
complete -c elockd -l tls-cert -d 'File with the daemon\'s certificate in PEM, and behind it those between it and the authority. (R)' -r -F
complete -c elockd -l tls-key -d 'File with the key of the certificate in PEM. (R)' -r -F
complete -c elockd -l tls-client-ca -d 'File with the authorities of client certificates in PEM; unset means that clients are not asked for one. (R)' -r -F
complete -c elockd -l tls-client-auth -d 'Whether a client without a certificate is let in, with --tls-client-ca: `optional` lets it in. (R)' -r -f -a "required\t'It is not let in without one'
optional\t'It is let in without one'"
complete -c elockd -l ssl -d 'glockd\'s flag for TLS: the --listen addresses speak TLS' -r -f -a "true\t''
false\t''"
complete -c elockd -l proxy-protocol -d 'Expect a PROXY header (version 1 or 2) at the beginning of TCP connections, and show the address in it' -r -f -a "true\t''
false\t''"
complete -c elockd -l proxy-protocol-from -d 'Balancers, as `IP` or `IP/BITS`: connections from there must begin with a PROXY header, others must not' -r
complete -c elockd -l ws -d 'Port for WebSockets, on each --listen address; 0 means none. glockd has 9998' -r
complete -c elockd -l wss -d 'Port for WebSockets over TLS, on each --listen address; 0 means none. It needs --tls-cert and --tls-key' -r
complete -c elockd -l ws-origin -d 'Origin of pages that may connect by WebSocket, such as `https://app.example`; `*` is any page' -r
complete -c elockd -l unix -d 'Path of a Unix socket to listen on' -r -F
complete -c elockd -l unix-mode -d 'Permissions of the Unix socket, in octal: who may write to it may connect' -r
complete -c elockd -l admin-unix -d 'Path of the administrative socket, a Unix socket for operators: its clients may `kick` and `steal`' -r -F
complete -c elockd -l admin-unix-mode -d 'Permissions of the administrative socket, in octal' -r
complete -c elockd -l threads -d 'Threads that serve connections, 1 to 256; 0 means one on up to two processors, else one for each, at most 16' -r
complete -c elockd -l dump -d 'Answer d, sd, dump, ls and who; if false, they are told `0 disabled`' -r -f -a "true\t''
false\t''"
complete -c elockd -l registry -d 'Answer iam and who; if false, they are told `0 disabled`' -r -f -a "true\t''
false\t''"
complete -c elockd -l silent-errors -d 'Do not answer unknown commands, like glockd' -r -f -a "true\t''
false\t''"
complete -c elockd -l token-file -d 'File of tokens, by which clients say which account they are. (R)' -r -F
complete -c elockd -l auth-required -d 'Which connections must authenticate: `tcp`, `all` or `none`. (R)' -r -f -a "tcp\t'Those over TCP'
all\t'Those to the Unix socket too'
none\t'None. Those that do it anyway are their account\'s'"
complete -c elockd -l cluster-listen -d 'Address to listen on for the other nodes of a cluster: `IP:PORT` or `HOST:PORT`; unset means no cluster' -r
complete -c elockd -l cluster-advertise -d 'Host and port under which the other nodes reach this one; by default --cluster-listen' -r
complete -c elockd -l cluster-ca -d 'File with the authority of all nodes\' certificates in PEM' -r -F
complete -c elockd -l cluster-cert -d 'File with this node\'s certificate in PEM, for the host that it advertises' -r -F
complete -c elockd -l cluster-key -d 'File with the key of that certificate in PEM' -r -F
complete -c elockd -l max-connections -d 'Connections allowed at a time; one more is told `0 Too Many Connections`' -r
complete -c elockd -l max-connections-per-address -d 'Connections allowed at a time from one IP address; 0 is no limit' -r
complete -c elockd -l max-locks -d 'Holds of both kinds allowed at a time; each holder of a shared lock counts' -r
complete -c elockd -l max-locks-per-connection -d 'Holds allowed at a time for one connection' -r
complete -c elockd -l max-waiters -d 'Clients allowed to wait for a lock at a time; one more is told `0 … Queue Full`' -r
complete -c elockd -l max-waiters-per-name -d 'Clients allowed to wait for one lock at a time; one more is told `0 … Queue Full`' -r
complete -c elockd -l max-step-holds -d 'Holds and waits that a deadlock check may look at; a wait that takes more is told `0 … Queue Full`' -r
complete -c elockd -l max-memory -d 'Bytes of memory allowed for connections, names, holds and waits together, at least 1048576' -r
complete -c elockd -l max-name-bytes -d 'Bytes allowed in the name of a lock or a connection, at most 65535' -r
complete -c elockd -l idle-timeout -d 'Time without a command after which a connection is closed and loses its locks; 0 is never' -r
complete -c elockd -l max-linger -d 'Longest time for which `linger` may have locks outlive their connection; 0 switches it off' -r
complete -c elockd -l max-line-bytes -d 'Bytes allowed in a request line, at most 1048576 and at least 64 more than in a name' -r
complete -c elockd -l max-listing-bytes -d 'Bytes of memory allowed together for all listings in progress (d, sd, dump, ls, who). (R)' -r
complete -c elockd -l max-closing -d 'Clients\' sockets allowed to be open at a time although their connection has ended or was refused' -r
complete -c elockd -l max-handshakes -d 'Sockets allowed to be open at a time although their handshake (a PROXY header, TLS) is not over' -r
complete -c elockd -l handshake-timeout -d 'Time after which a socket whose handshake (a PROXY header, TLS) is not over is closed, at most 24h. (R)' -r
complete -c elockd -l max-message-bytes -d 'Bytes allowed in a message from a WebSocket, at most 16777216' -r
complete -c elockd -l ws-ping -d 'Time after which a WebSocket is sent a ping; one that gives no sign until the next is due is given up and loses its locks' -r
complete -c elockd -l max-unauthenticated -d 'Connections allowed at a time that must authenticate and have not; one more is told `0 Too Many Connections`' -r
complete -c elockd -l auth-timeout -d 'Time after which a connection that must authenticate and has not is closed, at most 24h' -r
complete -c elockd -l peer-timeout -d 'Time after which a TCP peer that no longer answers the kernel is given up and loses its locks' -r
complete -c elockd -l write-timeout -d 'Time after which a connection that takes none of its replies is closed and loses its locks; 0 is never. (R)' -r
complete -c elockd -l shutdown-timeout -d 'Time that connections have to take their last replies at a shutdown, at most 24h; 0 cuts them off at once. (R)' -r
complete -c elockd -l log-file -d 'File that the log is written to instead of stderr. (R)' -r -F
complete -c elockd -l log-format -d 'Format of a line of the log: `text`, or `json` for one object on each line' -r -f -a "text\t'For people'
json\t'One JSON object on each line'"
complete -c elockd -l log-level -d 'Least important lines that are logged: `error`, `warn` or `info`. (R)' -r -f -a "error\t'The daemon ends'
warn\t'Somebody should look'
info\t'What it does'"
complete -c elockd -l verbose -d 'Log every connection, get, release and orphaned lock, by name. (R)' -r -f -a "true\t''
false\t''"
complete -c elockd -l warn-held -d 'Warn once of each lock that has been held for longer than this; at least 1s, 0 is never. (R)' -r
complete -c elockd -l metrics-listen -d 'Address for Prometheus: `IP:PORT` or `[IPv6]:PORT`; unset means no such listener' -r
complete -c elockd -l check-config -d 'Check all settings, print each value and where it was set, and exit'
complete -c elockd -s h -l help -d 'Print help (see more with \'--help\')'
complete -c elockd -s V -l version -d 'Print version'
