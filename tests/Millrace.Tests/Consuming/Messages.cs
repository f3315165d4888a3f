namespace Millrace.Tests.Consuming;

[Message("order.created", Version = 2)]
public sealed record OrderCreated(string OrderId, decimal Total);

[Message("order.created")]
public sealed record OrderCreatedV1(string OrderId);

[Message("order.paid")]
public sealed record OrderPaid(string OrderId);

public sealed record Counter(int Value);
