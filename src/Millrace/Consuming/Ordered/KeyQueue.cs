using System.Diagnostics.CodeAnalysis;
using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>
/// Whose turn it is: the first entry of each key, as many at once as the group may, and what waits behind them. Knows no store and no clock.
/// </summary>
internal sealed class KeyQueue(ConsumerOptions options, ReadAhead ahead)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Lane> _lanes = new(StringComparer.Ordinal);
    private readonly HashSet<(bool IsAgain, EntryId Id)> _known = [];
    private readonly Queue<Turn> _ready = [];

    // Suspects run one at a time, so that a death is charged to the one that caused it.
    private readonly Queue<Turn> _suspects = [];
    private Turn? _suspect;

    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource? _roomWaiter;
    private int _running;
    private int _parked;
    private int _waiting;
    private int _fieldsBehind;
    private bool _isClosed;

    // Whether the reader rests since it last looked for room, because a limit is reached.
    private bool _isFull;

    /// <summary>Completes when nothing runs any more, once nothing is to start.</summary>
    public Task Ended => _ended.Task;

    /// <summary>How many keys are parked, and how many entries wait behind the first of their key.</summary>
    public (int Parked, int Waiting) Counts
    {
        get
        {
            lock (_lock)
                return (_parked, _waiting);
        }
    }

    /// <summary>
    /// Counts the entries of keys that wait for a moment after now, or for somebody to act: first ones and those behind them. Says, too, whether these
    /// alone keep the reader from reading. Looks at every key.
    /// </summary>
    public (int Entries, bool IsFull) CountParked(long now)
    {
        lock (_lock)
        {
            var (keys, behind) = (0, 0);
            foreach (var lane in _lanes.Values.Where(lane => lane.IsParked && lane.WakesAt > now))
                (keys, behind) = (keys + 1, behind + lane.Behind.Count);
            return (keys + behind, _isFull && IsFull(keys, behind));
        }
    }

    /// <summary>Notes when a parked head is to run again, once there is a timer for it; unless it ran already, and was parked anew.</summary>
    public void SetWake(Turn turn, int parkings, long wakesAt)
    {
        lock (_lock)
        {
            if (turn.Parkings == parkings)
                turn.Lane.WakesAt = wakesAt;
        }
    }

    /// <summary>Adds an entry at the end of its key. One that is there already is left where it is.</summary>
    public void Add(string? key, WaitingEntry entry)
    {
        lock (_lock)
        {
            if (!_known.Add((entry.IsAgain, entry.Id)))
                return;
            if (key is not null && _lanes.TryGetValue(key, out var lane))
            {
                AddBehind(lane, entry);
                return;
            }

            lane = new(key, entry);
            if (key is not null)
                _lanes.Add(key, lane);
            _ready.Enqueue(lane.Head);
        }
    }

    /// <summary>Adds a key that is parked. Before all entries of the key.</summary>
    public Turn AddParked(ParkedHead head, EntryId note)
    {
        lock (_lock)
        {
            var lane = new Lane(head.Key, new(head.IsAgain, head.Id, 0, IsOurs: false)) { IsParked = true };
            (lane.Head.Parked, lane.Head.ParkedNote) = (head, note);
            _known.Add((head.IsAgain, head.Id));
            _lanes.Add(head.Key, lane);
            _parked++;
            return lane.Head;
        }
    }

    /// <summary>Takes the next turn, if there is one and a slot is free.</summary>
    public bool TryTake([NotNullWhen(true)] out Turn? turn)
    {
        lock (_lock)
        {
            turn = null;
            while (!_isClosed && _running < options.Concurrency && _ready.TryDequeue(out var next))
            {
                if (next.IsSuspect && _suspect is not null)
                {
                    _suspects.Enqueue(next);
                    continue;
                }

                if (next.IsSuspect)
                    _suspect = next;
                _running++;
                next.End = TurnEnd.None;
                turn = next;
                return true;
            }

            return false;
        }
    }

    /// <summary>A suspect has run long enough: the others need not wait for it any more.</summary>
    public void LetSuspectsGo(Turn suspect)
    {
        lock (_lock)
            NextSuspectNeedsLock(suspect);
    }

    /// <summary>The entry is settled: the next one of its key is ready.</summary>
    public void Complete(Turn turn)
    {
        lock (_lock)
        {
            EndNeedsLock(turn);
            NextOfKeyNeedsLock(turn);
            SignalRoomNeedsLock();
        }
    }

    /// <summary>The entry stays first, and waits without a slot. Of what is behind it only the IDs are kept.</summary>
    public void Park(Turn turn)
    {
        lock (_lock)
        {
            EndNeedsLock(turn);
            turn.Entry = turn.Entry with { IsOurs = false, Fields = null };
            turn.Parkings++;
            (turn.Lane.IsParked, turn.Lane.WakesAt) = (true, long.MinValue);
            _parked++;
            var behind = turn.Lane.Behind;
            for (var i = behind.Count; i > 0; i--)
            {
                var entry = behind.Dequeue();
                _fieldsBehind -= entry.Fields is null ? 0 : 1;
                behind.Enqueue(entry with { Fields = null });
            }

            SignalRoomNeedsLock();
        }
    }

    /// <summary>A run that ended because the reader ends: nothing follows.</summary>
    public void Leave(Turn turn)
    {
        lock (_lock)
            EndNeedsLock(turn);
    }

    /// <summary>A parked head is to run again, unless it has meanwhile, and was parked anew.</summary>
    public void Wake(Turn turn, int parkings)
    {
        lock (_lock)
        {
            if (!turn.Lane.IsParked || turn.Parkings != parkings)
                return;
            turn.Lane.IsParked = false;
            _parked--;
            _ready.Enqueue(turn);
            SignalRoomNeedsLock();
        }
    }

    /// <summary>A parked head is not there any more.</summary>
    public void DropParked(Turn turn)
    {
        lock (_lock)
        {
            turn.Lane.IsParked = false;
            _parked--;
            NextOfKeyNeedsLock(turn);
            SignalRoomNeedsLock();
        }
    }

    /// <summary>
    /// Leaves what an operator asks for with the head it is about. Returns the head when it is parked; one that runs is asked when it fails. A skip takes the
    /// place of a resume.
    /// </summary>
    /// <returns>Whether that entry is the head of the key, and not as much is asked for already.</returns>
    public bool TryAsk(OrderNote note, out Turn? parked)
    {
        lock (_lock)
        {
            parked = null;
            if (note.Key is null || !_lanes.TryGetValue(note.Key, out var lane) || lane.Head.Entry.Id != note.Head ||
                (lane.Head.Asked is { } asked && (asked.IsSkip || note.IsResume)))
                return false;
            (lane.Head.AskedBefore, lane.Head.Asked) = (lane.Head.Asked, note);
            parked = lane.IsParked ? lane.Head : null;
            return true;
        }
    }

    /// <summary>Whether something is still asked for with a head that was parked so often: it was not parked anew, which answers what is asked.</summary>
    public bool IsAsked(Turn turn, int parkings, OrderNote note)
    {
        lock (_lock)
            return turn.Parkings == parkings && turn.Asked == note;
    }

    /// <summary>What was asked for is done, if it still is asked for.</summary>
    /// <param name="turn">The head.</param>
    /// <param name="parkings">How often it had been parked when it was asked.</param>
    /// <param name="note">What was asked for.</param>
    /// <param name="renewed">What its document holds now, or <see langword="null"/>: the same.</param>
    /// <returns>Whether it is.</returns>
    public bool TryAnswer(Turn turn, int parkings, OrderNote note, ParkedHead? renewed)
    {
        lock (_lock)
        {
            if (turn.Parkings != parkings || turn.Asked != note)
                return false;
            turn.Asked = null;
            if (renewed is not null)
                turn.Parked = renewed;
            return true;
        }
    }

    /// <summary>The entries here, so that others can be told from them.</summary>
    public HashSet<(bool IsAgain, EntryId Id)> Known()
    {
        lock (_lock)
            return [.. _known];
    }

    /// <summary>Nothing starts any more.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _isClosed = true;
            if (_running == 0)
                _ended.TrySetResult();
        }
    }

    /// <summary>Waits until there is room that is worth a read and returns how much there is. For one waiter at a time.</summary>
    /// <param name="full">Told when a limit of parked keys or waiting entries is what stands in the way.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async ValueTask<int> WaitForRoomAsync(Action<int, int> full, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task wait;
            int parked, waiting;
            bool isFull;
            lock (_lock)
            {
                (parked, waiting) = (_parked, _waiting);
                _isFull = isFull = IsFull(parked, waiting);
                var room = Math.Min(
                    options.Concurrency + ahead.Entries - _running - _ready.Count, options.MaxWaitingEntries - _waiting);
                if (!isFull && room >= Math.Min(ahead.WantedRoom, options.MaxWaitingEntries - _waiting))
                    return room;
                _roomWaiter = new(TaskCreationOptions.RunContinuationsAsynchronously);
                wait = _roomWaiter.Task;
            }

            if (isFull)
                full(parked, waiting);
            await wait.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private bool IsFull(int parked, int waiting) => parked >= options.MaxParkedKeys || waiting >= options.MaxWaitingEntries;

    private void AddBehind(Lane lane, WaitingEntry entry)
    {
        // Some keep their fields, so that a busy key need not read every entry twice.
        if (entry.Fields is not null && (lane.IsParked || _fieldsBehind >= ahead.Entries))
            entry = entry with { Fields = null };
        _fieldsBehind += entry.Fields is null ? 0 : 1;
        lane.Behind.Enqueue(entry);
        _waiting++;
    }

    private void NextOfKeyNeedsLock(Turn turn)
    {
        _known.Remove((turn.Entry.IsAgain, turn.Entry.Id));
        if (turn.Lane.Behind.TryDequeue(out var next))
        {
            _waiting--;
            _fieldsBehind -= next.Fields is null ? 0 : 1;
            turn.Lane.Head = new(turn.Lane, next);
            _ready.Enqueue(turn.Lane.Head);
        }
        else if (turn.Key is { } key)
        {
            _lanes.Remove(key);
        }
    }

    private void EndNeedsLock(Turn turn)
    {
        NextSuspectNeedsLock(turn);
        if (--_running == 0 && _isClosed)
            _ended.TrySetResult();
    }

    private void NextSuspectNeedsLock(Turn ended)
    {
        if (_suspect != ended)
            return;
        _suspect = null;
        if (_suspects.TryDequeue(out var next))
            _ready.Enqueue(next);
    }

    private void SignalRoomNeedsLock()
    {
        _roomWaiter?.TrySetResult();
        _roomWaiter = null;
    }
}
