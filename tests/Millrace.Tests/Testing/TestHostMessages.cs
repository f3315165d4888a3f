using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Testing;

[Message("trip.booked")]
public sealed record TripBooked(string Trip, int Seats);

[Message("seat.taken")]
public sealed record SeatTaken(string Trip);

[Message("trip.reminder")]
public sealed record TripReminder(string Trip);

public sealed record Seats(int Free);

public sealed class Booking
{
    public async Task TakeAsync(TripBooked trip, MessageContext context, CancellationToken cancellationToken)
    {
        var seats = await context.State.GetAsync<Seats>(trip.Trip, cancellationToken) ?? new(10);
        if (seats.Free < trip.Seats)
        {
            await context.RejectAsync("full", cancellationToken);
            return;
        }

        ArgumentOutOfRangeException.ThrowIfNegative(trip.Seats);
        context.State.Put(trip.Trip, new Seats(seats.Free - trip.Seats));
        context.Publish("seats", new SeatTaken(trip.Trip));
        context.Publish("trips", new TripReminder(trip.Trip), new() { Delay = TimeSpan.FromHours(24) });
    }
}

/// <summary>A message that can be held up while it is read from its entry, which is before its handler begins.</summary>
[Message("trip.heldup")]
public sealed record HeldUpTrip
{
    public required int Number
    {
        get;
        init
        {
            field = value;
            HeldUpReading.Pass(value);
        }
    }
}

/// <summary>Holds one <see cref="HeldUpTrip"/> up. One at a time.</summary>
public sealed class HeldUpReading(int? at) : IDisposable
{
    private static HeldUpReading? _current;

    private readonly int? _at = at;
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _goOn = new();

    /// <summary>Ends when the message is being read.</summary>
    public Task Reached => _reached.Task.WaitAsync(Eventually.Deadline);

    public void Begin() => Volatile.Write(ref _current, this);

    public void GoOn()
    {
        Volatile.Write(ref _current, null);
        _goOn.SetResult();
    }

    public static void Pass(int number)
    {
        if (Volatile.Read(ref _current) is not { } current || (current._at is { } at && number != at))
            return;
        current._reached.TrySetResult();
        current._goOn.Task.Wait();
    }

    public void Dispose()
    {
        Volatile.Write(ref _current, null);
        _goOn.TrySetResult();
    }
}
