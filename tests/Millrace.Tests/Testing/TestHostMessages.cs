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
