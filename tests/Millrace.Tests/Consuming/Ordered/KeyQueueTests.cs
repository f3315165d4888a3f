using Millrace.Consuming.Ordered;
using Millrace.Streams;

namespace Millrace.Tests.Consuming.Ordered;

public sealed class KeyQueueTests
{
    private static readonly ConsumerOptions _options = new() { Concurrency = 2, Prefetch = 2, MaxParkedKeys = 2, MaxWaitingEntries = 3 };

    private readonly KeyQueue _queue = new(_options, new(_options));

    [Fact]
    public void Turns_go_to_the_first_entry_of_each_key()
    {
        Add("a", 1);
        Add("a", 2);
        Add("b", 3);
        Add("c", 4);

        var first = Take();
        Assert.Equal((1UL, 3UL), (Number(first), Number(Take())));
        Assert.False(_queue.TryTake(out _));
        _queue.Complete(first);

        Assert.Equal(4UL, Number(Take()));
    }

    [Fact]
    public void Entries_without_a_key_have_no_order()
    {
        Add(null, 1);
        Add(null, 2);

        Assert.Equal((1UL, 2UL), (Number(Take()), Number(Take())));
    }

    [Fact]
    public void Entry_that_is_there_already_stays_where_it_is()
    {
        Add("a", 1);
        Add("a", 2);
        Add("a", 1);

        _queue.Complete(Take());
        _queue.Complete(Take());

        Assert.False(_queue.TryTake(out _));
        Assert.Empty(_queue.Known());
    }

    [Fact]
    public void Parked_head_stays_first_frees_its_slot_and_keeps_only_ids_behind_it()
    {
        Add("a", 1);
        Add("a", 2);
        var head = Take();
        _queue.Park(head);
        Add("b", 3);
        Add("c", 4);

        Assert.Equal((1, 1), _queue.Counts);
        Assert.Equal((3UL, 4UL), (Number(Take()), Number(Take())));
        Assert.Null(Assert.Single(head.Lane.Behind).Fields);
        Assert.False(head.Entry.IsOurs);
    }

    [Fact]
    public void Wait_of_an_earlier_parking_does_not_end_a_later_one()
    {
        Add("a", 1);
        _queue.Park(Take());
        var head = Waken(1);
        _queue.Park(head);

        _queue.Wake(head, parkings: 1);
        Assert.False(_queue.TryTake(out _));
        Assert.Same(head, Waken(2));

        Turn Waken(int parkings)
        {
            _queue.Wake(_last!, parkings);
            return Take();
        }
    }

    [Fact]
    public void Suspects_run_one_at_a_time_beside_others()
    {
        _queue.Add("a", new(false, new(1, 0), 2, IsOurs: false));
        _queue.Add("b", new(false, new(2, 0), 3, IsOurs: false));
        _queue.Add("c", new(false, new(3, 0), 1, IsOurs: false));

        var suspect = Take();
        Assert.Equal((1UL, 3UL), (Number(suspect), Number(Take())));
        _queue.Complete(suspect);

        Assert.Equal(2UL, Number(Take()));
    }

    [Fact]
    public void Deliveries_that_ended_as_they_should_make_no_suspect()
    {
        Add("a", 1);
        var head = Take();
        head.Entry = head.Entry with { DeliveryCount = 4, IsOurs = false };
        Assert.True(head.IsSuspect);
        head.Parked = new()
        {
            Key = "a",
            IsAgain = false,
            Id = head.Entry.Id,
            Attempt = 4,
            EndedDeliveries = 3,
            Since = default,
            IsExhausted = false,
            Errors = null,
        };
        Assert.False(head.IsSuspect);
    }

    [Fact]
    public void Skip_takes_the_place_of_a_resume_and_nothing_that_of_a_skip()
    {
        Add("a", 1);
        var head = Take();
        Assert.True(_queue.TryAsk(Ask(1, isSkip: false), out _));
        Assert.False(_queue.TryAsk(Ask(2, isSkip: false), out _));
        Assert.True(_queue.TryAsk(Ask(3, isSkip: true), out _));
        Assert.False(_queue.TryAsk(Ask(4, isSkip: true), out _));
        Assert.False(_queue.TryAsk(Ask(5, isSkip: false), out _));

        Assert.Equal((3UL, 1UL), (head.Asked!.Id.Milliseconds, head.AskedBefore!.Id.Milliseconds));

        static OrderNote Ask(ulong number, bool isSkip) => OrderNote.Read(new(new(number, 0), OrderNote.Ask(isSkip, "a", new(1, 0), "ann")));
    }

    [Fact]
    public async Task Room_is_what_slots_and_prefetch_leave()
    {
        Assert.Equal(3, await RoomAsync());
        Add("a", 1);
        Add("b", 2);
        Add("c", 3);
        Assert.Equal(1, await RoomAsync());
        Add("d", 4);
        Assert.False(RoomAsync().IsCompleted);
    }

    [Fact]
    public async Task Full_queue_says_so_and_has_room_again_when_a_key_goes_on()
    {
        Add("a", 1);
        Add("b", 2);
        var parked = Take();
        _queue.Park(parked);
        _queue.Park(Take());
        var full = 0;
        var room = _queue.WaitForRoomAsync((_, _) => full++, TestContext.Current.CancellationToken);
        Assert.Equal((false, 1), (room.IsCompleted, full));

        _queue.Wake(parked, 1);

        Assert.Equal(3, await room);
    }

    [Fact]
    public void Closed_queue_starts_nothing_and_ends_with_what_runs()
    {
        Add("a", 1);
        Add("a", 2);
        var turn = Take();
        _queue.Close();
        Assert.False(_queue.Ended.IsCompleted);

        _queue.Complete(turn);

        Assert.True(_queue.Ended.IsCompleted);
        Assert.False(_queue.TryTake(out _));
    }

    private Turn? _last;

    private ValueTask<int> RoomAsync() => _queue.WaitForRoomAsync((_, _) => { }, TestContext.Current.CancellationToken);

    private void Add(string? key, ulong number) =>
        _queue.Add(key, new(false, new(number, 0), 1, IsOurs: true, EntryFields.Create(("n", $"{number}"))));

    private Turn Take()
    {
        Assert.True(_queue.TryTake(out var turn));
        return _last = turn;
    }

    private static ulong Number(Turn turn) => turn.Entry.Id.Milliseconds;
}
