"""Is a component hello/greeter with nothing but ZeroMQ and protobuf; docs/wire.md says why this works.

    python3 component.py tcp://127.0.0.1:7010      # port * takes a free one; it is printed
"""

import sys
import time
import uuid

import zmq
from google.protobuf.message import DecodeError
from hello_pb2 import HelloReply, HelloRequest
from monofil.wire_pb2 import CALL, FAILURE, OUTCOME_UNIMPLEMENTED, REPLY, Frame, Hello, Outcome, Record


def greet(call):
    if (call.target, call.method) != ("hello/greeter", "hello.Greeter/SayHello"):
        outcome = Outcome(kind=OUTCOME_UNIMPLEMENTED, message=f"no {call.method} of {call.target} is here")
        return Record(kind=FAILURE, id=call.id, outcome=outcome)
    reply = HelloReply(text=f"Hello, {HelloRequest.FromString(call.payload).name}, from Python!")
    return Record(kind=REPLY, id=call.id, payload=reply.SerializeToString())


socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
endpoint = socket.last_endpoint.decode()
print(endpoint, flush=True)
node = uuid.uuid5(uuid.NAMESPACE_URL, endpoint).bytes  # the same after a restart at the same place
incarnation = time.time_ns() // 1000  # and greater each time

while True:
    connection, *parts = socket.recv_multipart()  # the first part is ZeroMQ's name for the connection
    try:
        (frame,) = map(Frame.FromString, parts)
        ours = frame.receiver_incarnation in (0, incarnation)  # else it is meant for who was here before
        records = [greet(record) for record in frame.records if ours and record.kind == CALL]
    except (DecodeError, ValueError):
        continue  # junk is answered with nothing
    answer = Frame(version=1, sender=node, sender_incarnation=incarnation, records=records)
    answer.receiver, answer.receiver_incarnation = frame.sender, frame.sender_incarnation
    if frame.hello.answer or not ours:  # a node asks when it has connected, and sends nothing before it knows
        answer.hello.CopyFrom(Hello(cookie=frame.hello.cookie, unnumbered=True, components=["hello/greeter"]))
    if records or answer.HasField("hello"):
        socket.send_multipart([connection, answer.SerializeToString()])
