%% Erlang nodes, speaking the frames of tests/bench/relay.cpp (u32 length, u64 id, payload): a broker node owns the
%% sockets, a process each, and sends every message to a process on one of the worker nodes, in turn.
%%
%%   erl ... -run relay broker PORT WORKER_NODE...
%%   erl ... -run relay worker
-module(relay).
-export([broker/1, worker/0]).

broker([Port | Nodes]) ->
    Workers = [{echo, list_to_atom(N)} || N <- Nodes],
    [connect(N) || {echo, N} <- Workers],
    {ok, Listening} = gen_tcp:listen(list_to_integer(Port),
                                     [binary, {packet, 4}, {active, false}, {nodelay, true}, {delay_send, true},
                                      {ip, {127, 0, 0, 1}}, {backlog, 128}, {buffer, 262144}]),
    accept(Listening, Workers).

connect(Node) ->
    case net_adm:ping(Node) of
        pong -> ok;
        pang -> timer:sleep(50), connect(Node)
    end.

accept(Listening, Workers) ->
    {ok, Socket} = gen_tcp:accept(Listening),
    Pid = spawn(fun() -> receive go -> serve(Socket, Workers, []) end end),
    ok = gen_tcp:controlling_process(Socket, Pid),
    ok = inet:setopts(Socket, [{active, 100}]),
    Pid ! go,
    accept(Listening, Workers).

serve(Socket, [], Used) -> serve(Socket, lists:reverse(Used), []);
serve(Socket, [W | Workers] = All, Used) ->
    receive
        {tcp, Socket, Message} ->
            W ! {self(), Message},
            serve(Socket, Workers, [W | Used]);
        {answer, Message} ->
            _ = gen_tcp:send(Socket, Message),
            serve(Socket, All, Used);
        {tcp_passive, Socket} ->
            ok = inet:setopts(Socket, [{active, 100}]),
            serve(Socket, All, Used);
        {tcp_closed, Socket} -> ok;
        {tcp_error, Socket, _} -> ok
    end.

worker() ->
    register(echo, self()),
    echo().

echo() ->
    receive
        {From, Message} -> From ! {answer, Message}, echo()
    end.
