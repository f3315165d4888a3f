using Millrace.Consuming;
using Millrace.Consuming.Ordered;
using Millrace.Streams;

namespace Millrace.Hosting;

/// <summary>One consumer group of one stream as it will run: options final and checked, handlers by message type.</summary>
internal sealed record GroupPlan
{
    public required string Stream { get; init; }

    /// <summary>The stream the group was declared for: another one than <see cref="Stream"/> where that is a lane.</summary>
    public string Home { get => field ?? Stream; init; }

    /// <summary>The stream of the lane, where that is another one than <see cref="Home"/>.</summary>
    public string? LaneStream => Stream == Home ? null : Stream;

    public required string Group { get; init; }

    /// <summary>Its share of the group's places, when the stream has lanes.</summary>
    public LaneShare? Lane { get; init; }

    public required string Consumer { get; init; }

    public required ConsumerOptions Options { get; init; }

    public required HandlerRoutes Routes { get; init; }

    /// <summary>Where the key of a message is, when the group is ordered.</summary>
    public OrderKeys? OrderKeys { get; init; }

    /// <summary>What the group keeps beside its stream, when it is ordered.</summary>
    public OrderNames? OrderNames { get; private init; }

    /// <summary>Whether its handlers take many messages at once.</summary>
    public bool IsBatch { get; init; }

    /// <summary>Deliveries that are with handlers at once.</summary>
    public int HandlerPlaces => IsBatch ? Options.Concurrency * Options.BatchSize : Options.Concurrency;

    /// <summary>
    /// Deliveries that are with handlers or ask for a place. With lanes all that are held ask, and as many more are held as there are places: a lane
    /// whose messages take them all must still have one to show when a place comes free.
    /// </summary>
    public int Slots => Lane is null ? HandlerPlaces : Capacity;

    /// <summary>Deliveries that are held at once, besides those read ahead.</summary>
    public int HeldPlaces => HandlerPlaces * (Lane is null ? 1 : 2);

    /// <summary>Deliveries that are held at once.</summary>
    public int Capacity => HeldPlaces + Options.EffectivePrefetch;

    /// <summary>The group's private stream, for retries and handed-back entries.</summary>
    public string Again { get; private init; } = "";

    public string DeadLetters { get; private init; } = "";

    /// <summary>The document in which this consumer says that it lives.</summary>
    public StateKey Presence => PresenceOf(Consumer);

    /// <summary>The document in which a consumer of the group says that it lives.</summary>
    public StateKey PresenceOf(string consumer) => ConsumerRegistry.KeyOf(Stream, Group, consumer);

    /// <summary>Derives the names of the group's own streams.</summary>
    /// <exception cref="ArgumentException">The stream's name has stray braces, or is too long to derive the others from.</exception>
    public GroupPlan Named() => this with
    {
        Again = StreamNames.Again(Stream, Group),
        DeadLetters = StreamNames.DeadLetters(Home, Group),
        OrderNames = OrderKeys is null ? null : new(Stream, Group),
    };
}
